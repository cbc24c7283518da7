"""Predictions in a file: whole or not there, and refused in one way whatever is wrong with it."""

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimize.errors import DataError, RunError
from optimize.judging.predictions import Predictions
from tests.optimize.judging.invented import predictions


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("predictions") / "of" / "val.npz"
    predictions(40, 3).save(path)
    return path


def test_what_is_saved_is_read(saved: Path) -> None:
    some, read = predictions(40, 3), Predictions.load(saved)
    assert np.array_equal(read.logits, some.logits)
    assert np.array_equal(read.labels, some.labels)
    assert (read.classes, read.identifiers) == (some.classes, some.identifiers)
    assert [one.name for one in saved.parent.iterdir()] == ["val.npz"]


def test_a_disk_that_refuses_leaves_what_was_there(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(RunError, match="the disk is full"):
        predictions(50, 3).save(saved)
    assert saved.read_bytes() == before


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_file_that_is_cut_or_changed_is_refused_by_name(saved: Path, data: st.DataObject) -> None:
    whole = saved.read_bytes()
    broken = bytearray(whole[: data.draw(st.integers(0, len(whole)), label="length")])
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=3), label="places"):
        if place < len(broken):
            broken[place] ^= data.draw(st.integers(1, 255), label="bits")
    path = saved.with_name("broken.npz")
    path.write_bytes(broken)
    with suppress(DataError):  # another error is what this test is for; some changes are of no consequence
        Predictions.load(path)


def test_one_array_alone_is_refused(tmp_path: Path) -> None:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    (tmp_path / "odd.npz").write_bytes(file.getvalue())
    for name in ("odd.npz", "absent.npz"):
        with pytest.raises(DataError, match=name):
            Predictions.load(tmp_path / name)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_stump_is_refused(saved: Path, share: float) -> None:
    path = saved.with_name("stump.npz")
    path.write_bytes(saved.read_bytes()[: int(share * saved.stat().st_size)])
    with pytest.raises(DataError, match=r"stump\.npz"):
        Predictions.load(path)
