"""Pictures without labels: what is given is taken for what it is given for, the rest is cut, nothing in vain."""

from pathlib import Path
from typing import Any

import pytest

from optimize.candidates.unlabelled import needs_training_pictures
from optimize.errors import DataError, RecipeError, RunError
from tests.optimize.candidates.colours import PHOTOS, colour_content, colour_recipe, opened
from tests.optimize.candidates.small import recipe as stripes
from tests.optimize.commands.colour_bundle import folder_of


def parts(tmp_path: Path, data: dict[str, Path], **tables: Any) -> list[set[str]]:  # noqa: ANN401
    """Names of the pictures that train, choose and guard."""
    content = colour_content(tmp_path, **tables)
    content["data"] |= {split: str(path) for split, path in data.items()}
    bench = opened(colour_recipe(tmp_path, **tables, data=content["data"]), tmp_path / "run")
    sets = (bench.data.train, bench.data.val, bench.guard)
    return [{one.identifier(place) for place in range(len(one))} for one in sets]


@pytest.fixture
def others(tmp_path: Path) -> dict[str, Path]:
    folder_of(tmp_path / "choosing", any=["red", "red", "green", "blue"])
    folder_of(tmp_path / "guarding", any=["blue", "blue", "green", "red", "red"])
    return {"val": tmp_path / "choosing", "test": tmp_path / "guarding"}


@pytest.mark.parametrize(
    ("given", "calibration", "sizes"),
    [
        ((), 6, [27, 1, 2]),
        ((), PHOTOS, [0, 15, 15]),
        (("test",), PHOTOS, [0, 30, 5]),
        (("test",), 6, [27, 3, 5]),
        (("val",), 6, [30, 2, 2]),
        (("val", "test"), 6, [30, 4, 5]),
        (("val", "test"), PHOTOS, [30, 4, 5]),
    ],
)
def test_what_is_given_is_what_it_is_given_for(
    tmp_path: Path,
    others: dict[str, Path],
    given: tuple[str, ...],
    calibration: int | dict[str, object],
    sizes: list[int],
) -> None:
    found = parts(tmp_path, {split: others[split] for split in given}, calibration=calibration)
    assert [len(one) for one in found] == sizes
    assert not found[1] & found[2]
    assert not found[0] & (found[1] | found[2])
    for split, names in zip(("val", "test"), found[1:], strict=True):
        if split in given and set(given) >= {"test"}:
            assert all(name.startswith(others[split].name) for name in names)


def test_few_pictures_do_where_they_are_cut_into_nothing(tmp_path: Path, others: dict[str, Path]) -> None:
    """Four that calibrate, four that choose, five that guard."""
    found = parts(tmp_path, {"train": others["val"], **others}, calibration=2)
    assert [len(one) for one in found] == [4, 4, 5]


def test_one_picture_can_not_choose_and_guard(tmp_path: Path) -> None:
    lone = folder_of(tmp_path / "lone", any=["red"])
    with pytest.raises(DataError, match="too few pictures to choose and to guard"):
        parts(tmp_path, {"val": lone}, calibration=2)


def test_the_same_pictures_on_two_sides_are_reported(tmp_path: Path, others: dict[str, Path]) -> None:
    content = colour_content(tmp_path)
    content["data"] |= {"train": str(others["val"]), "val": str(others["val"]), "test": str(others["test"])}
    bench = opened(colour_recipe(tmp_path, data=content["data"]), tmp_path / "run")
    assert len([one for one in bench.data.report.leaks if one.split == "val"]) == 4


def test_photos_calibrate_what_passes_are_shown(tmp_path: Path) -> None:
    bench = opened(colour_recipe(tmp_path), tmp_path / "run")
    shown = bench.calibration(bench.parent.spec.input)
    assert shown.shape == shown[:].shape == (6, 16, 16, 3)
    assert bench.calibration(bench.parent.spec.input.at_size(32, 32)).shape == (6, 32, 32, 3)


def test_photos_do_not_calibrate_a_model_that_takes_grey_pictures(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="takes grey pictures; give a number"):
        opened(stripes(tmp_path, calibration=PHOTOS), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("tables", "needs"),
    [
        ({}, False),
        ({"calibration": 5}, True),
        ({"candidate": [{"name": "a", "steps": [{"name": "resize", "height": 8}, "quantize_int8"]}]}, False),
        ({"candidate": [{"name": "a", "steps": [{"name": "finetune"}, "quantize_int8"]}]}, True),
        ({"candidate": [{"name": "a", "steps": [{"name": "prune", "macs": 0.5}]}]}, True),
        ({"search": {"candidates": 3}}, True),
        ({"rescue": True}, True),
    ],
)
def test_training_pictures_are_taken_where_something_is_made_with_them(
    tmp_path: Path, tables: dict[str, Any], needs: bool
) -> None:
    assert needs_training_pictures(colour_recipe(tmp_path, **tables)) is needs


@pytest.mark.parametrize("later", [{"rescue": True}, {"search": {"candidates": 3}}])
def test_what_judged_does_not_train_later(tmp_path: Path, later: dict[str, Any]) -> None:
    tables = {"data": {"train": colour_content(tmp_path)["data"]["train"]}, "calibration": PHOTOS}
    opened(colour_recipe(tmp_path, **tables), tmp_path / "run")
    with pytest.raises(RunError, match="begun with all its pictures to judge by"):
        opened(colour_recipe(tmp_path, **tables, **later), tmp_path / "run")


def test_a_candidate_that_trains_is_not_added_to_a_run_without_pictures_for_it(tmp_path: Path) -> None:
    tables = {"data": {"train": colour_content(tmp_path)["data"]["train"]}, "calibration": PHOTOS}
    one = colour_recipe(tmp_path, **tables)
    opened(one, tmp_path / "run")
    named = [entry.model_dump(mode="json") for entry in one.candidate]
    trains = {"name": "trains", "steps": [{"name": "student", "architecture": "efficientnet_lite0", "epochs": 1}]}
    with pytest.raises(RunError, match="begun with all its pictures to judge by"):
        opened(colour_recipe(tmp_path, **tables, candidate=[*named, trains]), tmp_path / "run")
    opened(one, tmp_path / "run")  # as it was


@pytest.mark.parametrize(
    ("calibration", "says"),
    [
        (0, "calibration.*greater than or equal to 1"),
        ("many", "calibration"),
        ({"photos": []}, "photos.*at least 1"),
        ({"photos": PHOTOS["photos"], "shares": [1.5]}, "shares.*less than or equal to 1"),
        ({"photos": PHOTOS["photos"], "shares": [1.0], "crops": 3}, "crops"),
    ],
)
def test_a_calibration_that_can_not_be_is_a_fault_of_the_recipe(tmp_path: Path, calibration: object, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        colour_recipe(tmp_path, calibration=calibration)
