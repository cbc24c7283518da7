"""Pictures as a source, and finding out which source a person means."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from server.sender.sources import Encoding, PictureSource, SourceError, no_larger, open_source
from server.sender.video import VideoSource
from tests.pictures import encode, oriented, picture
from tests.server.photo_video import coloured, natural_photos, write_video


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a.png", "notes.txt", ".hidden.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "c.jpg").write_bytes(b"c")
    return tmp_path


def test_a_folder_gives_its_pictures_as_they_are_and_again_after_rewinding(folder: Path) -> None:
    source = open_source(str(folder), Encoding())
    seen = []
    for _ in range(2):
        while source.advance():
            seen.append(source.frame())
        source.rewind()
    source.close()
    assert [(frame.name, frame.data) for frame in seen] == [("a.png", b"a.png"), ("b.jpg", b"b.jpg")] * 2
    assert (source.live, source.fps, source.count) == (False, None, 2)
    assert seen[0].captured_at <= seen[-1].captured_at
    assert open_source(str(folder), Encoding(), recursive=True).count == 3


def test_a_file_that_is_gone_fails_alone(folder: Path) -> None:
    source = open_source(str(folder), Encoding())
    (folder / "a.png").unlink()
    assert source.advance()
    with pytest.raises(SourceError, match=r"a\.png: No such file"):
        source.frame()
    assert source.advance()
    assert source.frame().data == b"b.jpg"


def test_only_larger_pictures_are_made_smaller_and_they_stay_upright() -> None:
    small = encode(picture(40, 30), "png")
    assert no_larger(small, (40, 30), 85) is small
    assert no_larger(b"no picture", (10, 10), 85) == b"no picture"
    for data in (
        encode(picture(400, 300), "jpeg"),
        oriented("jpeg", 6, picture(400, 300)),
        encode(picture(400, 300).convert("P"), "gif"),
    ):
        with Image.open(io.BytesIO(data)) as image:
            expected = ImageOps.exif_transpose(image).convert("RGB").resize((80, 60), Image.Resampling.BICUBIC)
        with Image.open(io.BytesIO(no_larger(data, (80, 80), 95))) as made:
            assert (made.format, made.size) == ("JPEG", (80, 60))
            assert np.abs(np.asarray(made, int) - np.asarray(expected, int)).mean() < 4


def test_a_real_photo_fits_afterwards(tmp_path: Path) -> None:
    photo, *_ = natural_photos()
    source = open_source(str(photo), Encoding(size=(224, 224)))
    assert isinstance(source, PictureSource)
    assert source.advance()
    with Image.open(io.BytesIO(source.frame().data)) as made, Image.open(photo) as whole:
        assert max(made.size) == 224
        assert abs(made.width / made.height - whole.width / whole.height) < 0.02


def test_each_kind_of_source_is_found(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.avi", [coloured(9, 9, 9)])
    assert isinstance(open_source(str(video), Encoding()), VideoSource)
    unnamed = video.rename(tmp_path / "clip")
    assert isinstance(open_source(str(unnamed), Encoding()), VideoSource)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no/such.avi", "no such file or folder: no/such.avi.*/dev/video0"),
        ("999", "cannot open camera 999.*/dev/video999"),
        ("/dev/video998", "cannot open camera 998"),
        ("rtsp://me:secret@127.0.0.1:1/a", r"cannot open rtsp://127\.0\.0\.1:1/a: does it answer"),
        (__file__, "is no video that OpenCV can read"),
    ],
)
def test_what_cannot_be_opened_says_what_to_do(text: str, words: str) -> None:
    with pytest.raises(SourceError, match=words) as error:
        open_source(text, Encoding())
    assert "secret" not in str(error.value)


def test_an_empty_folder_says_where_it_looked(folder: Path) -> None:
    for file in folder.glob("*.*"):
        file.unlink()
    with pytest.raises(SourceError, match="no files with a picture's name; --recursive"):
        open_source(str(folder), Encoding())
    assert open_source(str(folder), Encoding(), recursive=True).count == 1
