"""What a path is taken for."""

from pathlib import Path

import pytest

from optimize.data.layouts import list_path
from optimize.data.options import DataOptions
from optimize.errors import DataError
from tests.optimize.data.sets_on_disk import class_folder, idx_pair

OPTIONS = DataOptions(train=Path("unused"))


def sizes(path: Path) -> dict[str, int]:
    return {split: len(listing.source) for split, listing in list_path(path, OPTIONS).items()}


def test_a_folder_of_class_folders(tmp_path: Path) -> None:
    assert sizes(class_folder(tmp_path / "photos", {"hat": 2, "cap": 1})) == {"": 3}


@pytest.mark.parametrize("names", ["train val test", "Training valid Test", "train validation test"])
def test_a_folder_of_splits(tmp_path: Path, names: str) -> None:
    for name, size in zip(names.split(), (3, 2, 1), strict=True):
        class_folder(tmp_path / "photos" / name, {"hat": size, "cap": 1})
    assert sizes(tmp_path / "photos") == {"train": 4, "val": 3, "test": 2}


def test_classes_that_are_called_like_splits_are_classes(tmp_path: Path) -> None:
    assert sizes(class_folder(tmp_path / "photos", {"train": 2, "test": 1})) == {"": 3}
    assert sizes(class_folder(tmp_path / "vehicles", {"train": 2, "car": 1})) == {"": 3}


def test_an_idx_folder_a_prefix_and_a_file(tmp_path: Path) -> None:
    train = idx_pair(tmp_path / "idx", "train", [0, 1, 1])
    idx_pair(tmp_path / "idx", "t10k", [0, 1])
    assert sizes(tmp_path / "idx") == {"train": 3, "test": 2}
    assert sizes(tmp_path / "idx" / "t10k") == {"": 2}
    assert sizes(train) == {"": 3}


def test_unwanted_splits_are_not_read(tmp_path: Path) -> None:
    idx_pair(tmp_path, "train", [0, 1]).write_bytes(b"\x00\x00\x08\x03broken")
    idx_pair(tmp_path, "t10k", [0, 1])
    assert list(list_path(tmp_path, OPTIONS, only=("test",))) == ["test"]


def test_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("image,label,split\na,x,train\nb,y,val\n")
    assert sizes(tmp_path / "list.csv") == {"train": 1, "val": 1}


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file or folder"):
        list_path(tmp_path / "photoz", OPTIONS)


def test_a_file_of_another_kind_says_what_is_known(tmp_path: Path) -> None:
    (tmp_path / "photos.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=r"neither a manifest \(\.csv, .*\) nor an IDX file; give a folder"):
        list_path(tmp_path / "photos.zip", OPTIONS)
