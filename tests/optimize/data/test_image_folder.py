"""Class folders and plain folders."""

import os
from pathlib import Path

import pytest

from optimize.data.image_folder import list_classes, list_unlabelled
from optimize.errors import DataError
from tests.optimize.data.sets_on_disk import class_folder, save


def identifiers(folder: Path) -> list[str]:
    listing = list_classes(folder)
    return [listing.source.identifier(index) for index in range(len(listing.source))]


def test_classes_and_files_are_in_order_of_their_names(tmp_path: Path) -> None:
    folder = class_folder(tmp_path / "photos", {"hat": 2, "dress": 1})
    assert identifiers(folder) == ["photos/dress/000.png", "photos/hat/000.png", "photos/hat/001.png"]
    assert list_classes(folder).columns == (("dress", "hat", "hat"),)


def test_hidden_files_and_what_systems_leave_behind_are_not_seen(tmp_path: Path) -> None:
    folder = class_folder(tmp_path / "photos", {"hat": 1, "dress": 1})
    save(folder / "hat" / ".000.png", 7)
    save(folder / ".cache" / "000.png", 8)
    save(folder / "__MACOSX" / "000.png", 9)
    assert identifiers(folder) == ["photos/dress/000.png", "photos/hat/000.png"]


def test_pictures_deeper_down_belong_to_the_class_folder(tmp_path: Path) -> None:
    save(tmp_path / "photos" / "hat" / "2024" / "may" / "a.png", 1)
    assert identifiers(tmp_path / "photos") == ["photos/hat/2024/may/a.png"]
    assert list_classes(tmp_path / "photos").columns == (("hat",),)


def test_links_are_followed_and_loops_are_not_entered_twice(tmp_path: Path) -> None:
    folder = class_folder(tmp_path / "photos", {"hat": 1})
    elsewhere = class_folder(tmp_path / "elsewhere", {"cap": 1})
    (folder / "hat" / "again").symlink_to(folder / "hat")
    (folder / "cap").symlink_to(elsewhere / "cap")
    assert identifiers(folder) == ["photos/cap/000.png", "photos/hat/000.png"]


def test_what_is_neither_file_nor_folder_is_left_alone(tmp_path: Path) -> None:
    folder = class_folder(tmp_path / "photos", {"hat": 1})
    os.mkfifo(folder / "hat" / "pipe.png")
    assert identifiers(folder) == ["photos/hat/000.png"]


def test_a_class_folder_without_pictures_is_named(tmp_path: Path) -> None:
    folder = class_folder(tmp_path / "photos", {"hat": 1, "cap": 0})
    assert list_classes(folder).empty_classes == ("cap",)


def test_loose_files_are_told_of(tmp_path: Path) -> None:
    folder = class_folder(tmp_path / "photos", {"hat": 1})
    save(folder / "loose.png", 3)
    assert "1 files beside the class folders" in list_classes(folder).aside


def test_a_folder_without_class_folders_says_what_to_do(tmp_path: Path) -> None:
    save(tmp_path / "photos" / "a.png", 1)
    with pytest.raises(DataError, match=r"1 files and no folders; put the pictures of each class into a sub-folder"):
        list_classes(tmp_path / "photos")


def test_a_plain_folder_gives_pictures_without_labels(tmp_path: Path) -> None:
    save(tmp_path / "street" / "b.png", 1)
    save(tmp_path / "street" / "day" / "a.png", 2)
    listing = list_unlabelled(tmp_path / "street")
    assert len(listing.source) == 2
    assert listing.columns == ((None, None),)


def test_an_empty_plain_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pictures there"):
        list_unlabelled(tmp_path)


def test_a_name_that_is_no_utf_8_can_be_written_down(tmp_path: Path) -> None:
    folder = class_folder(tmp_path / "photos", {"hat": 1})
    (folder / "hat" / "000.png").rename(folder / "hat" / os.fsdecode(b"\xff.png"))
    listing = list_classes(folder)
    assert listing.source.identifier(0) == "photos/hat/\\xff.png"
    assert listing.source.read(0).ndim == 3
