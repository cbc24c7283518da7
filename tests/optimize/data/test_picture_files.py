"""Pictures in files: decoded as the server decodes them."""

from pathlib import Path

import numpy as np
import pytest

from model_zoo.decode import decode
from model_zoo.header import PictureLimits, read_header
from model_zoo.preprocess import prepare
from optimize.data.fitting import fit
from optimize.data.picture_files import FilePictures
from optimize.errors import DataError
from tests.optimize.data.sets_on_disk import SPEC
from tests.pictures import ORIENTATIONS, encode, oriented, picture, png_16_bit_grey, truncated, with_alpha

KINDS = {
    "rgb": encode(picture(), "jpeg"),
    "grey": encode(picture().convert("L"), "png"),
    "alpha": encode(with_alpha(), "png"),
    "cmyk": encode(picture().convert("CMYK"), "jpeg"),
    "16 bit": png_16_bit_grey(),
    **{f"turned {orientation}": oriented("jpeg", orientation) for orientation in ORIENTATIONS},
}


def in_file(folder: Path, data: bytes) -> FilePictures:
    path = folder / "picture"
    path.write_bytes(data)
    return FilePictures((path,), ("picture",))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_upright_in_rgb(tmp_path: Path, kind: str) -> None:
    read = in_file(tmp_path, KINDS[kind]).read(0)
    np.testing.assert_array_equal(read, decode(KINDS[kind], read_header(KINDS[kind], PictureLimits()), colour="rgb"))
    assert read.shape == (48, 64, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_fitted_as_the_server_prepares_it(tmp_path: Path, kind: str) -> None:
    fitted = fit(in_file(tmp_path, KINDS[kind]), 0, lambda _: SPEC)
    np.testing.assert_array_equal(fitted, prepare(KINDS[kind], read_header(KINDS[kind], PictureLimits()), SPEC))


def test_the_spec_is_asked_for_by_the_upright_size(tmp_path: Path) -> None:
    asked = []
    fit(in_file(tmp_path, oriented("jpeg", 6, picture(64, 48))), 0, lambda size: asked.append(size) or SPEC)
    assert asked == [(64, 48)]


@pytest.mark.parametrize("data", [b"", b"text", truncated(KINDS["rgb"])])
def test_what_can_not_be_decoded_is_named(tmp_path: Path, data: bytes) -> None:
    source = in_file(tmp_path, data)
    with pytest.raises(DataError, match=r"^picture: "):
        source.read(0)
    with pytest.raises(DataError, match=r"^picture: "):
        source.fitted(0, lambda _: SPEC)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"hat/1\.jpg: No such file"):
        FilePictures((tmp_path / "1.jpg",), ("hat/1.jpg",)).read(0)


def test_the_digest_is_that_of_the_file_known_or_not(tmp_path: Path) -> None:
    from hashlib import sha256

    expected = sha256(KINDS["rgb"]).digest()
    source = in_file(tmp_path, KINDS["rgb"])
    assert source.digest(0) == expected
    assert FilePictures(source.paths, source.identifiers, (expected,)).digest(0) == expected
