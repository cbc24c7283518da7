"""From settings to sets and a report; what is unfit is refused in words."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from optimize.data.dataset import UNLABELLED, Task
from optimize.data.options import DataOptions
from optimize.data.read import Data, read_data, read_dataset
from optimize.errors import DataError
from tests.optimize.data.sets_on_disk import class_folder, idx_pair, photo, save
from tests.pictures import truncated


def read(folder: Path, seed: int = 1, **settings: object) -> Data:
    return read_data(DataOptions.model_validate({"train": "photos", **settings}), seed, folder=folder)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """The folder above ``photos``: 20 of cap, 30 of hat."""
    class_folder(tmp_path / "photos", {"cap": 20, "hat": 30})
    return tmp_path


def counted(data: Data) -> Mapping[str, Mapping[str, int]]:
    return {split: tasks["label"] for split, tasks in data.report.counts.items()}


def test_a_folder_is_split_in_the_shares_of_its_classes(photos: Path) -> None:
    data = read(photos, val_share=0.2, hold_out=10)
    assert counted(data) == {
        "train": {"cap": 13, "hat": 19}, "val": {"cap": 3, "hat": 5}, "test": {"cap": 4, "hat": 6},
    }  # fmt: skip
    names = [one.identifier(index) for one in (data.train, data.val, data.test) for index in range(len(one))]
    assert len(set(names)) == 50
    assert data.target is None


def test_the_seed_alone_decides_how(photos: Path) -> None:
    def names(data: Data) -> list[str]:
        return [data.val.identifier(index) for index in range(len(data.val))]

    assert names(read(photos)) == names(read(photos, workers=5))
    assert names(read(photos)) != names(read(photos, seed=2))


def test_the_pictures_held_out_are_the_same_whatever_validates(photos: Path) -> None:
    tests = [read(photos, hold_out=10, val_share=share).test for share in (0.1, 0.3)]
    assert tests[0] is not None
    assert tests[1] is not None
    assert [tests[0].identifier(index) for index in range(10)] == [tests[1].identifier(index) for index in range(10)]


def test_given_sets_have_the_classes_of_training(photos: Path) -> None:
    class_folder(photos / "more", {"hat": 2, "cap": 1}, first=100)
    data = read(photos, val="more", test="more")
    assert counted(data)["val"] == counted(data)["test"] == {"cap": 1, "hat": 2}
    assert data.val.tasks == data.train.tasks == (Task("label", ("cap", "hat")),)


def test_ready_made_splits_are_used_unless_others_are_given(tmp_path: Path) -> None:
    for first, name in ((0, "train"), (100, "val"), (200, "test")):
        class_folder(tmp_path / "photos" / name, {"cap": 4, "hat": 4}, first=first)
    assert read(tmp_path).report.pictures == {"train": 8, "val": 8, "test": 8}
    class_folder(tmp_path / "more", {"hat": 1, "cap": 1}, first=300)
    assert read(tmp_path, val="more", hold_out=2).report.pictures == {"train": 6, "val": 2, "test": 2}


def test_several_folders_train_together(photos: Path) -> None:
    class_folder(photos / "more", {"hat": 5, "cap": 5, "shoe": 6}, first=100)
    data = read(photos, train=["photos", "more"], hold_out=6)
    assert sum(data.report.pictures.values()) == 66
    assert data.train.classes == ("cap", "hat", "shoe")
    prefixes = {data.train.identifier(index).split("/")[0] for index in range(len(data.train))}
    assert prefixes == {"photos", "more"}


def test_pictures_of_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for number, place in enumerate(("a", "b")):
        class_folder(tmp_path / place / "photos", {"cap": 4, "hat": 4}, first=10 * number)
        (tmp_path / place / "photos" / "cap" / "broken.png").write_bytes(b"")
    shutil.copy(tmp_path / "a/photos/cap/000.png", tmp_path / "b/photos/cap/000.png")
    class_folder(tmp_path / "more", {"cap": 1, "hat": 1}, first=100)
    report = read(tmp_path, train=["a/photos", "b/photos", "more"], val="more", leaks="drop").report
    assert [one.picture for one in report.unreadable] == ["a/photos/cap/broken.png", "b/photos/cap/broken.png"]
    assert report.duplicates == (("a/photos/cap/000.png", "b/photos/cap/000.png"),)
    assert report.dropped == ("more/cap/000.png", "more/hat/000.png")


def test_pictures_of_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for number, place in enumerate(("a", "b")):
        idx_pair(tmp_path / place, "train", [0, 1] * 4, seed=number)
    data = read(tmp_path, train=["a", "b"])
    names = {data.train.identifier(index) for index in range(len(data.train))}
    assert len(names) == len(data.train)
    assert {name.split("/")[0] for name in names} == {"a", "b"}
    for place in ("a", "b"):
        (tmp_path / place / "list.csv").write_text("image,label\n1.png,cap\n2.png,cap\n3.png,hat\n4.png,hat\n")
        for number in range(1, 5):
            save(tmp_path / place / f"{number}.png", number + 10 * (place == "b"))
    listed = read(tmp_path, train=["a/list.csv", "b/list.csv"])
    assert {listed.val.identifier(index)[2:12] for index in range(len(listed.val))} == {"list.csv: "}


def test_one_folder_given_twice_keeps_its_names(photos: Path) -> None:
    report = read(photos, train=["photos", "photos"]).report
    assert report.duplicates[0] == ("photos/cap/000.png",) * 2


def test_an_idx_folder_has_its_test_set(tmp_path: Path) -> None:
    idx_pair(tmp_path / "idx", "train", [0, 1, 2] * 10)
    idx_pair(tmp_path / "idx", "t10k", [2, 1, 0], seed=1)
    data = read(tmp_path, train="idx")
    assert data.report.pictures == {"train": 27, "val": 3, "test": 3}
    assert data.test is not None
    assert data.test.first_labels.tolist() == [2, 1, 0]
    named = read(tmp_path, train="idx", classes=["top", "bag", "boot"])
    assert named.train.classes == ("top", "bag", "boot")


def test_a_manifest_of_two_tasks(tmp_path: Path) -> None:
    rows = [(f"{number}.png", ("cap", "hat")[number % 2], ("red", "", "blue")[number % 3]) for number in range(24)]
    for number, (name, _, _) in enumerate(rows):
        save(tmp_path / name, number)
    text = "\n".join(["image,kind,shade", *map(",".join, rows)])
    (tmp_path / "list.csv").write_text(text)
    data = read(tmp_path, train="list.csv", label_columns=["kind", "shade"], val_share=0.25)
    assert data.train.tasks == (Task("kind", ("cap", "hat")), Task("shade", ("blue", "red")))
    assert (data.train.labels[:, 1] == UNLABELLED).any()
    assert data.report.counts["val"]["kind"] == {"cap": 3, "hat": 3}


def test_a_target_has_pictures_and_no_labels(photos: Path) -> None:
    save(photos / "street" / "day" / "a.png", 500)
    target = read(photos, target="street").target
    assert target is not None
    assert target.labels.tolist() == [[UNLABELLED]]


def test_a_limit_takes_the_first_of_each_class(photos: Path) -> None:
    (photos / "photos" / "hat" / "029.png").write_bytes(b"never looked at")
    data = read(photos, limit=4, val_share=0.25)
    assert counted(data) == {"train": {"cap": 3, "hat": 3}, "val": {"cap": 1, "hat": 1}}
    assert data.report.unreadable == ()


def test_a_limit_is_that_of_all_folders_together(photos: Path) -> None:
    class_folder(photos / "more", {"hat": 5, "shoe": 9}, first=100)
    class_folder(photos / "street", {"day": 3, "night": 9}, first=200)
    data = read(photos, train=["photos", "more"], limit=4, val_share=0.25, target="street")
    each = {"cap": 3, "hat": 3, "shoe": 3}
    assert counted(data) == {"train": each, "val": dict.fromkeys(each, 1)}
    assert data.report.pictures["target"] == 4, "their classes are not known"


def test_unreadable_pictures_are_reported_and_left_out(photos: Path) -> None:
    file = save(photos / "photos" / "hat" / "big.jpg", 900)
    file.write_bytes(truncated(file.read_bytes(), 0.9))
    report = read(photos).report
    assert sum(report.pictures.values()) == 50
    assert report.to_json()["unreadable"] == [["photos/hat/big.jpg", report.unreadable[0].reason]]
    assert "truncated or damaged" in report.unreadable[0].reason
    assert any("pictures that can't be read, and are left out: 1" in one for one in report.warnings)
    with pytest.raises(DataError, match=r"photos/hat/big\.jpg"):
        read(photos, unreadable="stop")


def test_copies_never_lie_on_both_sides_of_a_split(photos: Path) -> None:
    for number in range(20):
        shutil.copy(photos / "photos" / "hat" / "000.png", photos / "photos" / "hat" / f"copy{number}.png")
    for seed in range(5):
        data = read(photos, seed, val_share=0.3, look_alikes=False)
        sides = [{one.source.digest(int(place)) for place in one.positions} for one in (data.train, data.val)]
        assert not sides[0] & sides[1]
        assert len(data.report.leaks) == 0


@pytest.fixture
def leaky(photos: Path) -> Path:
    """A validation folder that holds a training picture, and one encoded anew."""
    class_folder(photos / "val", {"cap": 2, "hat": 2}, first=100)
    shutil.copy(photos / "photos" / "hat" / "000.png", photos / "val" / "hat" / "copy.png")
    photo(1).save(photos / "val" / "cap" / "anew.jpg", quality=95)
    return photos


def test_leaks_are_reported(leaky: Path) -> None:
    report = read(leaky, val="val").report
    assert [(one.train_picture, one.picture, one.same) for one in report.leaks] == [
        ("photos/cap/001.png", "val/cap/anew.jpg", "likely"),
        ("photos/hat/000.png", "val/hat/copy.png", "bytes"),
    ]
    assert report.pictures == {"train": 50, "val": 6}
    assert any("are in validation too: 2, likely copies among them: 1" in one for one in report.warnings)


def test_leaks_may_be_dropped_or_stop(leaky: Path) -> None:
    report = read(leaky, val="val", leaks="drop").report
    assert report.dropped == ("photos/cap/001.png", "photos/hat/000.png")
    assert report.pictures == {"train": 48, "val": 6}
    with pytest.raises(DataError, match=r"2 training pictures also judge: photos/cap/001\.png is val/cap/anew\.jpg"):
        read(leaky, val="val", leaks="stop")


@pytest.mark.parametrize("leaks", ["report", "drop", "stop"])
def test_pictures_that_validate_and_test_are_reported_and_stay(photos: Path, leaks: str) -> None:
    for split, first in (("val", 100), ("test", 200)):
        class_folder(photos / split, {"cap": 2, "hat": 2}, first=first)
    shutil.copy(photos / "val" / "hat" / "000.png", photos / "test" / "hat" / "copy.png")
    photo(100).save(photos / "test" / "cap" / "anew.jpg", quality=95)
    report = read(photos, val="val", test="test", leaks=leaks).report
    assert [(one.val_picture, one.picture, one.same) for one in report.judge_twice] == [
        ("val/cap/000.png", "test/cap/anew.jpg", "likely"),
        ("val/hat/000.png", "test/hat/copy.png", "bytes"),
    ]
    assert (report.leaks, report.dropped) == ((), ())
    assert report.pictures == {"train": 50, "val": 4, "test": 6}
    assert any(
        "validation pictures that are in test too: 2, likely copies among them: 1" in one for one in report.warnings
    )


def test_pictures_of_all_kinds_go_together(photos: Path) -> None:
    photo(900).convert("L").save(photos / "photos" / "hat" / "grey.png")
    photo(901).convert("RGBA").save(photos / "photos" / "hat" / "alpha.png")
    photo(902).convert("CMYK").save(photos / "photos" / "cap" / "cmyk.jpg")
    data = read(photos)
    assert sum(data.report.pictures.values()) == 53
    assert sum(data.report.colourless.values()) == 1
    assert any("without colour among those with" in one for one in data.report.warnings)


def test_the_fingerprint_tells_contents_and_labels(photos: Path) -> None:
    first = read(photos).report.fingerprint
    (photos / "elsewhere").mkdir()
    shutil.copytree(photos / "photos", photos / "elsewhere" / "photos")
    assert read(photos / "elsewhere").report.fingerprint == first
    assert read(photos, seed=2).report.fingerprint != first
    save(photos / "photos" / "hat" / "000.png", 999)
    changed = read(photos).report.fingerprint
    assert changed != first
    (photos / "photos" / "cap").rename(photos / "photos" / "bonnet")
    assert read(photos).report.fingerprint not in (first, changed)


def test_the_report_is_json(leaky: Path) -> None:
    report = read(leaky, val="val").report
    assert json.loads(json.dumps(report.to_json()))["counts"]["val"]["label"] == {"cap": 3, "hat": 3}


def test_uneven_classes_are_pointed_out(tmp_path: Path) -> None:
    class_folder(tmp_path / "photos", {"cap": 3, "hat": 40})
    assert any("data.class_weights = true may help" in one for one in read(tmp_path).report.warnings)


def bad_input(folder: Path, kind: str) -> dict[str, object]:
    """Make one kind of bad data; the settings to read it with."""
    sizes = {"empty class": {"cap": 3, "hat": 0}, "one class": {"cap": 3}, "one each": {"a": 1, "b": 1, "c": 1}}
    class_folder(folder / "photos", sizes.get(kind, {"cap": 4, "hat": 4}))
    if kind == "missing from val":
        class_folder(folder / "val", {"cap": 2}, first=100)
        return {"val": "val"}
    if kind == "unknown in val":
        class_folder(folder / "val", {"cap": 2, "hats": 2}, first=100)
        return {"val": "val"}
    if kind == "all of a class corrupt":
        for file in (folder / "photos" / "hat").iterdir():
            file.write_bytes(b"\x89PNG\r\n\x1a\n")
    if kind == "label outside the range":
        idx_pair(folder / "idx", "train", [0, 1] * 4)
        idx_pair(folder / "idx", "t10k", [0, 2])
        return {"train": "idx"}
    if kind == "class number without pictures":
        idx_pair(folder / "idx", "train", [0, 2] * 4)
        return {"train": "idx"}
    if kind == "copies alone":
        for file in (folder / "photos" / "hat").iterdir():
            photo(0).save(file)
    return {"hold_out": 7} if kind == "too many held out" else {}


BAD = {
    "empty class": "no pictures in 'hat'; put some there, or remove the empty class folder",
    "one class": "there is one class only, 'cap'; two at least are needed",
    "one each": "3 pictures are too few to take some for val",
    "missing from val": r"no validation pictures of 'hat' \(4\)\. .*data.missing_from_val = \"report\"",
    "unknown in val": "not among the 2 known ones: 'hats'; known, and absent here: 'hat'; did you mean 'hat'",
    "all of a class corrupt": r"no pictures to train on in 'hat' \(4 pictures can't be read\)",
    "label outside the range": r"t10k-images-idx3-ubyte.gz\[1\]: label 2 is outside the range: there are 2 classes",
    "class number without pictures": "no pictures to train on in '1'",
    "copies alone": r"no validation pictures of 'hat' \(\d\); a class needs two different pictures",
    "too many held out": "7 pictures can't be taken out of 8: each class keeps one at least; 6 is the most",
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_data_is_refused_in_words(tmp_path: Path, kind: str) -> None:
    settings = bad_input(tmp_path, kind)
    with pytest.raises(DataError, match=BAD[kind]):
        read(tmp_path, **settings)


def test_a_class_may_be_missing_from_validation_where_that_is_asked_for(tmp_path: Path) -> None:
    data = read(tmp_path, missing_from_val="report", **bad_input(tmp_path, "missing from val"))
    assert any("val has no pictures of 'hat'" in one for one in data.report.warnings)


def test_three_pictures_are_enough_to_try(tmp_path: Path) -> None:
    class_folder(tmp_path / "photos", {"cap": 2, "hat": 1})
    data = read(tmp_path, missing_from_val="report")
    assert data.report.pictures == {"train": 2, "val": 1}


def test_one_set_for_evaluation_in_the_order_of_a_bundle(photos: Path) -> None:
    dataset, report = read_dataset(photos / "photos", classes=("shoe", "hat", "cap"))
    assert report.pictures == {"photos": 50}
    assert dataset.first_labels.tolist() == [2] * 20 + [1] * 30
    with pytest.raises(DataError, match="known ones: 'hat'; known, and absent here: 'shoe'"):
        read_dataset(photos / "photos", classes=("shoe", "cap"))


def test_a_limit_counts_what_can_be_read_and_looks_at_no_more(photos: Path) -> None:
    """Two hats are broken and a file is no picture; the last hat, broken too, lies behind the fifth whole one."""
    for name in ("000.png", "002.png", "029.png"):
        (photos / "photos" / "hat" / name).write_bytes(b"broken")
    (photos / "photos" / "hat" / "003.txt").write_text("a note")
    dataset, report = read_dataset(photos / "photos", classes=("hat", "cap"), options=limited_to(5))
    names = [dataset.identifier(index) for index in range(len(dataset))]
    hats = ["001", "003", "004", "005", "006"]
    assert names == [f"photos/cap/00{place}.png" for place in range(5)] + [f"photos/hat/{name}.png" for name in hats]
    assert dataset.first_labels.tolist() == [1] * 5 + [0] * 5
    assert [one.picture for one in report.unreadable] == ["photos/hat/000.png", "photos/hat/002.png"]


def test_a_limit_beyond_what_is_there_takes_all(photos: Path) -> None:
    (photos / "photos" / "cap" / "019.png").write_bytes(b"broken")
    assert read_dataset(photos / "photos", options=limited_to(25))[1].counts["photos"]["label"] == {
        "cap": 19, "hat": 25,
    }  # fmt: skip


def test_a_limit_takes_pictures_whose_first_task_has_no_label(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / f"{number}.png", number)
    (tmp_path / "list.csv").write_text("image,kind,shade\n" + "".join(f"{number}.png,,red\n" for number in range(4)))
    tasks = (Task("kind", ("cap", "hat")), Task("shade", ("red", "blue")))
    dataset, _ = read_dataset(tmp_path / "list.csv", tasks=tasks, options=limited_to(3))
    assert dataset.labels.tolist() == [[UNLABELLED, 0]] * 3


def test_a_limit_on_an_array_takes_the_first_of_each_class(tmp_path: Path) -> None:
    idx_pair(tmp_path, "t10k", [0, 0, 1, 0, 1, 1])
    dataset, _ = read_dataset(tmp_path, classes=("top", "bag"), options=limited_to(2))
    assert dataset.positions.tolist() == [0, 1, 2, 4]


def limited_to(limit: int) -> DataOptions:
    return DataOptions(train="unused", limit=limit, look_alikes=False)  # type: ignore[arg-type]


def test_of_ready_made_splits_the_test_set_is_evaluated(tmp_path: Path) -> None:
    idx_pair(tmp_path, "train", [0, 1])
    idx_pair(tmp_path, "t10k", [0, 1, 1])
    dataset, _ = read_dataset(tmp_path, classes=("top", "bag"))
    assert len(dataset) == 3
    assert dataset.name == "test"


def test_several_tasks_are_evaluated_by_their_columns(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 1)
    (tmp_path / "list.csv").write_text("image,kind,shade\na.png,hat,\n")
    tasks = (Task("kind", ("cap", "hat")), Task("shade", ("red", "blue")))
    assert read_dataset(tmp_path / "list.csv", tasks=tasks)[0].labels.tolist() == [[1, UNLABELLED]]


@pytest.mark.needs_clothing
def test_the_clothing_photos(clothing: Path) -> None:
    data = read_data(DataOptions(train=clothing, limit=20), 1)
    assert len(data.train.classes) == 10
    assert data.report.pictures == {"train": 200, "val": sum(data.report.counts["val"]["label"].values())}
    assert data.report.unreadable == ()


@pytest.mark.needs_fashion_mnist
def test_fashion_mnist() -> None:
    data = read_data(DataOptions(train=Path("/usr/share/datasets/fashion-mnist"), look_alikes=False), 1)
    assert data.report.pictures == {"train": 54_000, "val": 6_000, "test": 10_000}
    assert set(data.report.counts["val"]["label"].values()) == {600}
    whole = np.stack([data.train.read(index) for index in range(0, 54_000, 9)])
    assert whole.mean() == pytest.approx(255 * 0.286, rel=0.02)  # the data set's published mean


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[2J", os.fsdecode(b"\xff"), " ", "\u202egnp"])
def test_a_class_that_no_bundle_takes_is_refused_before_training(photos: Path, name: str) -> None:
    (photos / "photos" / "hat").rename(photos / "photos" / name)
    with pytest.raises(DataError, match="can't be in a bundle; rename it") as raised:
        read(photos)
    assert repr(name) in str(raised.value)
