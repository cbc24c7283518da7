"""The first pass: what is unreadable, ignored, colourless."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from optimize.data.array_pictures import ArrayPictures
from optimize.data.dataset import Dataset, Task
from optimize.data.image_folder import list_unlabelled
from optimize.data.listing import settle
from optimize.data.screening import decode_small, joined, screen
from optimize.errors import DataError
from tests.optimize.data.sets_on_disk import photo, save
from tests.pictures import REFUSED, encode, oriented, truncated

TASKS = (Task("label", ("only",)),)


def dataset(folder: Path) -> Dataset:
    return settle(list_unlabelled(folder), TASKS)


def test_good_pictures_pass_with_their_digests(tmp_path: Path) -> None:
    files = [save(tmp_path / "set" / f"{number}.jpg", number) for number in range(3)]
    screening = screen(dataset(tmp_path / "set"))
    assert screening.digests == tuple(sha256(file.read_bytes()).digest() for file in files)
    assert screening.dataset.source.digest(1) == screening.digests[1]
    assert screening.thumbnails.shape == (3, 16, 16)
    assert screening.unreadable == screening.ignored == ()


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "gif", "bmp", "tiff"])
def test_a_truncated_picture_is_found_and_left_out(tmp_path: Path, name: str) -> None:
    save(tmp_path / "set" / "a.png", 1)
    whole = encode(photo(2, (640, 480)), name)
    (tmp_path / "set" / "b.jpg").write_bytes(truncated(whole))
    save(tmp_path / "set" / "c.png", 3)
    screening = screen(dataset(tmp_path / "set"))
    assert [screening.dataset.identifier(index) for index in range(2)] == ["set/a.png", "set/c.png"]
    assert [one.picture for one in screening.unreadable] == ["set/b.jpg"]
    assert screening.unreadable[0].reason


def test_even_a_jpeg_whose_end_alone_is_missing_is_found(tmp_path: Path) -> None:
    whole = encode(photo(2, (640, 480)), "jpeg")
    save(tmp_path / "set" / "a.png", 1)
    (tmp_path / "set" / "b.jpg").write_bytes(whole[: len(whole) - 40])
    assert [one.picture for one in screen(dataset(tmp_path / "set")).unreadable] == ["set/b.jpg"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_server_refuses_is_left_out(tmp_path: Path, name: str) -> None:
    save(tmp_path / "set" / "a.png", 1)
    (tmp_path / "set" / "b.jpg").write_bytes(REFUSED[name][1]())
    screening = screen(dataset(tmp_path / "set"))
    assert [one.picture for one in screening.unreadable] == ["set/b.jpg"]
    assert len(screening.dataset) == 1


def test_files_that_claim_to_be_no_picture_are_ignored_even_where_the_policy_is_to_stop(tmp_path: Path) -> None:
    save(tmp_path / "set" / "a.png", 1)
    (tmp_path / "set" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (tmp_path / "set" / "notes.txt").write_text("seen in May")
    assert screen(dataset(tmp_path / "set"), unreadable="stop").ignored == ("set/Thumbs.db", "set/notes.txt")


def test_a_picture_is_known_by_its_content_whatever_its_name(tmp_path: Path) -> None:
    save(tmp_path / "set" / "a.png", 1).rename(tmp_path / "set" / "a.backup")
    assert len(screen(dataset(tmp_path / "set")).dataset) == 1


def test_the_policy_may_be_to_stop(tmp_path: Path) -> None:
    save(tmp_path / "set" / "a.png", 1)
    (tmp_path / "set" / "b.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"1 of 2 pictures can't be read: set/b.jpg: the picture is empty"):
        screen(dataset(tmp_path / "set"), unreadable="stop")


def test_a_broken_link_is_unreadable(tmp_path: Path) -> None:
    save(tmp_path / "set" / "a.png", 1)
    (tmp_path / "set" / "b.png").symlink_to(tmp_path / "nowhere")
    assert screen(dataset(tmp_path / "set")).unreadable[0].reason == "it can't be opened: No such file or directory"


def test_nothing_readable_at_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b.jpg").write_bytes(b"GIF")
    with pytest.raises(DataError, match="none of its 1 files is a picture that can be read"):
        screen(dataset(tmp_path))


def test_pictures_without_colour_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encode(photo(1, (640, 480)).convert("L"), "jpeg"))
    (tmp_path / "b.jpg").write_bytes(encode(photo(1, (640, 480)).convert("L").convert("RGB"), "jpeg"))
    save(tmp_path / "c.jpg", 1)
    assert screen(dataset(tmp_path)).colourless.tolist() == [True, True, False]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_thumbnails_are_upright(orientation: int) -> None:
    upright = photo(4, (320, 240))
    turned = decode_small(oriented("jpeg", orientation, upright))[0].astype(int)
    assert np.abs(turned - decode_small(encode(upright, "png"))[0]).max() <= 4


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    for number in range(150):
        save(tmp_path / "set" / f"{number:03}.png", number)
    one, many = (screen(dataset(tmp_path / "set"), workers=workers) for workers in (1, 5))
    assert one.digests == many.digests
    np.testing.assert_array_equal(one.thumbnails, many.thumbnails)


def test_progress_is_told(tmp_path: Path) -> None:
    for number in range(70):
        save(tmp_path / "set" / f"{number:03}.png", number)
    told: list[tuple[int, int]] = []
    screen(dataset(tmp_path / "set"), progress=lambda done, total: told.append((done, total)))
    assert told == [(64, 70), (70, 70)]


def test_arrays_need_no_decoding_and_join_files(tmp_path: Path) -> None:
    pixels = np.stack([np.asarray(photo(number)) for number in range(2)])
    array = Dataset("array", ArrayPictures(pixels), np.arange(2), np.zeros((2, 1), np.int64), TASKS)
    save(tmp_path / "a.png", 5)
    both = joined([screen(array), screen(dataset(tmp_path))], "both")
    assert len(both.dataset) == len(both.digests) == len(both.thumbnails) == len(both.colourless) == 3
    some = both.subset(np.array([2, 0]), "some")
    assert some.digests == (both.digests[2], both.digests[0])
    assert some.dataset.source.digest(int(some.dataset.positions[0])) == some.digests[0]
