"""A store in the place of another: whole, or as it was, whatever a kill or the disk leaves."""

from pathlib import Path

import pytest

from optimize.errors import RunError
from optimize.store_swap import swap_store


def store_of(path: Path, said: str) -> Path:
    path.mkdir(parents=True)
    (path / "said").write_text(said)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("is_first", [True, False])
def test_the_new_one_takes_the_place_and_nothing_is_left_beside_it(tmp_path: Path, is_first: bool) -> None:
    if not is_first:
        store_of(tmp_path / "store", "old")
    swap_store(store_of(tmp_path / "making", "new"), tmp_path / "store")
    assert (tmp_path / "store/said").read_text() == "new"
    assert names(tmp_path) == ["store"]


@pytest.mark.parametrize("there", [(".store-before",), (".store-before", "store")])
def test_what_a_kill_left_is_cleared_by_the_next_swap(tmp_path: Path, there: tuple[str, ...]) -> None:
    for name in there:
        store_of(tmp_path / name, name)
    swap_store(store_of(tmp_path / "making", "new"), tmp_path / "store")
    assert (tmp_path / "store/said").read_text() == "new"
    assert names(tmp_path) == ["store"]


def test_where_the_disk_refuses_the_old_one_is_back(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", "old")
    with pytest.raises(RunError, match=r"store can't be replaced by .*: No such file or directory"):
        swap_store(tmp_path / "nowhere", store)
    assert (store / "said").read_text() == "old"
    assert names(tmp_path) == ["store"]


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    elsewhere = store_of(tmp_path / "elsewhere", "old")
    (tmp_path / "store").symlink_to(elsewhere)
    swap_store(store_of(tmp_path / "making", "new"), tmp_path / "store")
    assert (tmp_path / "store/said").read_text() == "new"
    assert (elsewhere / "said").read_text() == "old"
    assert names(tmp_path) == ["elsewhere", "store"]
