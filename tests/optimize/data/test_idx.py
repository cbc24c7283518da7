"""IDX files, whole and broken."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from optimize.data.idx import images_of_prefix, is_idx, list_pair, parts_of_folder, read_idx
from optimize.errors import DataError
from tests.optimize.data.sets_on_disk import idx_bytes, idx_pair


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file for many examples."""
    return tmp_path_factory.mktemp("idx") / "some-images-idx3-ubyte"


@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=4, max_side=5)), st.booleans())
def test_what_is_written_is_read(file: Path, values: np.ndarray, packed: bool) -> None:
    whole = idx_bytes(values)
    file.write_bytes(gzip.compress(whole) if packed else whole)
    assert is_idx(file)
    np.testing.assert_array_equal(read_idx(file), values)


@given(st.integers(0, 60), st.booleans())
def test_a_file_cut_anywhere_is_refused(file: Path, kept: int, packed: bool) -> None:
    whole = idx_bytes(np.arange(60, dtype=np.uint8).reshape(3, 4, 5))
    cut = whole[: 4 + 12 + kept][: len(whole) - 1]
    file.write_bytes(gzip.compress(cut) if packed else cut)
    with pytest.raises(DataError, match="cut off"):
        read_idx(file)


@given(st.integers(1, 80))
def test_a_gzip_file_cut_anywhere_is_refused(file: Path, cut: int) -> None:
    packed = gzip.compress(idx_bytes(np.random.default_rng(1).integers(0, 256, (3, 4, 5), np.uint8)))
    file.write_bytes(packed[: max(len(packed) - 8 - cut, 0)])
    with pytest.raises(DataError):
        read_idx(file)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "with nothing"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00\x00\x00\x00", "00 00 0d 01"),
        (b"\x89PNG\r\n\x1a\n", "89 50 4e 47"),
        (b"\x00\x00\x08\x03\x00\x00", "ends within its header"),
        (b"\x00\x00\x08\x02" + b"\xff" * 8, "more than 64 GB"),
        (idx_bytes(np.zeros((2, 2), np.uint8)) + b"!", "holds more"),
        (b"\x1f\x8bbroken gzip", "can't be read"),
    ],
)
def test_other_bytes_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(DataError, match=message):
        read_idx(tmp_path / "file")


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """Ten MB of zeros behind a header that announces four bytes."""
    path = tmp_path / "bomb-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.zeros((1, 2, 2), np.uint8)) + bytes(10**7)))
    with pytest.raises(DataError, match="4 bytes, and it holds more"):
        read_idx(path)


@pytest.mark.parametrize("packed", [True, False])
def test_a_pair_gives_pictures_and_labels(tmp_path: Path, packed: bool) -> None:
    images = idx_pair(tmp_path, "train", [3, 0, 1], packed=packed)
    listing = list_pair(images)
    assert listing.columns == ((3, 0, 1),)
    assert listing.source.read(1).shape == (6, 5, 1)
    assert listing.source.identifier(1) == f"{images.name}[1]"
    expected = np.random.default_rng(0).integers(0, 256, (3, 6, 5), np.uint8)
    np.testing.assert_array_equal(listing.source.read(2)[..., 0], expected[2])


def test_colour_images_have_four_dimensions(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx4-ubyte").write_bytes(idx_bytes(np.zeros((2, 4, 4, 3), np.uint8)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.array([0, 1], np.uint8)))
    assert list_pair(tmp_path / "train-images-idx4-ubyte").source.read(0).shape == (4, 4, 3)


def test_the_pairs_of_a_folder_are_its_splits(tmp_path: Path) -> None:
    train, test = idx_pair(tmp_path, "train", [0, 1]), idx_pair(tmp_path, "t10k", [1])
    assert parts_of_folder(tmp_path) == {"train": train, "test": test}
    assert images_of_prefix(tmp_path / "t10k") == test
    assert images_of_prefix(tmp_path / "none") is None


def test_images_without_labels_are_refused(tmp_path: Path) -> None:
    images = idx_pair(tmp_path, "train", [0, 1])
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"no labels file train-labels-idx1-ubyte\S* beside it"):
        list_pair(images)


def test_more_labels_than_pictures_are_refused(tmp_path: Path) -> None:
    images = idx_pair(tmp_path, "train", [0, 1])
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(idx_bytes(np.zeros(3, np.uint8)))
    with pytest.raises(DataError, match=r"has 2 pictures, .* \(3,\) labels"):
        list_pair(images)


def test_a_labels_file_is_no_images_file(tmp_path: Path) -> None:
    idx_pair(tmp_path, "train", [0, 1])
    with pytest.raises(DataError, match="no labels file"):
        list_pair(tmp_path / "train-labels-idx1-ubyte.gz")
