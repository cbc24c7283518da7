"""Pictures on both sides."""

from pathlib import Path

from optimize.data.dataset import Task
from optimize.data.image_folder import list_classes
from optimize.data.leaks import find_conflicts, find_duplicates, find_leaks, find_likely_conflicts
from optimize.data.listing import settle
from optimize.data.report import Leak
from optimize.data.screening import Screening, screen
from tests.optimize.data.sets_on_disk import class_folder, photo, save

TASKS = (Task("label", ("cap", "hat")),)


def screened(folder: Path) -> Screening:
    return screen(settle(list_classes(folder), TASKS))


def test_every_training_picture_that_judges_too_is_told(tmp_path: Path) -> None:
    train = class_folder(tmp_path / "train", {"cap": 2, "hat": 2})
    val = class_folder(tmp_path / "val", {"cap": 2, "hat": 2}, first=100)
    (train / "hat" / "copy.png").write_bytes((val / "hat" / "001.png").read_bytes())
    (train / "hat" / "twice.png").write_bytes((val / "hat" / "001.png").read_bytes())
    save(val / "cap" / "anew.jpg", 0, quality=95)
    found = find_leaks(screened(train), "val", screened(val), likely=True)
    assert found.leaks == (
        Leak("val", "val/cap/anew.jpg", "train/cap/000.png", "likely"),
        Leak("val", "val/hat/001.png", "train/hat/copy.png", "bytes"),
        Leak("val", "val/hat/001.png", "train/hat/twice.png", "bytes"),
    )
    assert found.places.tolist() == [0, 4, 5]
    assert {leak.same for leak in find_leaks(screened(train), "val", screened(val), likely=False).leaks} == {"bytes"}


def test_sets_without_a_common_picture_do_not_leak(tmp_path: Path) -> None:
    train = class_folder(tmp_path / "train", {"cap": 5, "hat": 5})
    val = class_folder(tmp_path / "val", {"cap": 5, "hat": 5}, first=100)
    assert find_leaks(screened(train), "val", screened(val), likely=True).leaks == ()


def test_copies_within_training_are_grouped(tmp_path: Path) -> None:
    train = class_folder(tmp_path / "train", {"cap": 2, "hat": 1})
    photo(0).save(train / "hat" / "again.png")
    assert find_duplicates(screened(train)) == (("train/cap/000.png", "train/hat/again.png"),)


def test_copies_under_two_labels_are_conflicts(tmp_path: Path) -> None:
    train = class_folder(tmp_path / "train", {"cap": 2, "hat": 1})
    photo(0).save(train / "hat" / "again.png")
    photo(1).save(train / "cap" / "again.png")
    val = class_folder(tmp_path / "val", {"cap": 1, "hat": 1}, first=100)
    photo(1).save(val / "cap" / "also.png")
    assert find_conflicts([screened(train), screened(val)]) == (
        ("train/cap/000.png (cap)", "train/hat/again.png (hat)"),
    )


def test_one_picture_encoded_twice_under_two_labels_is_a_likely_conflict(tmp_path: Path) -> None:
    train = class_folder(tmp_path / "train", {"cap": 4, "hat": 4})
    save(train / "hat" / "anew.jpg", 2, quality=95)
    save(train / "cap" / "anew.jpg", 1, quality=95)
    assert find_likely_conflicts(screened(train)) == (("train/cap/002.png (cap)", "train/hat/anew.jpg (hat)"),)


def test_one_camera_at_one_scene_is_no_leak(tmp_path: Path) -> None:
    for split, first in (("train", 0), ("val", 100)):
        class_folder(tmp_path / split, {"cap": 1, "hat": 1}, first=first)
        for number in range(first, first + 30):
            scene = photo(7, (200, 160))
            scene.putpixel((number % 20, number // 20), (0, 0, 0))
            scene.save(tmp_path / split / "hat" / f"scene{number}.png")
    found = find_leaks(screened(tmp_path / "train"), "val", screened(tmp_path / "val"), likely=True)
    assert found.are_all_alike
    assert found.leaks == ()
