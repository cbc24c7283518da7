"""``check.npz``: saved, read back, judged; hostile files give BundleError and little memory."""

import io
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from model_zoo import check as check_module
from model_zoo.check import CheckSet, compare, make_check, synthetic_pictures
from model_zoo.errors import BundleError

PICTURES = synthetic_pictures(6, 5, 3)


def some_check(*, classes: int = 4, atol: float = 0.1) -> CheckSet:
    """Row i is sure of class i, by two logits."""
    logits = 2 * np.eye(4, classes, dtype=np.float32)
    return CheckSet(PICTURES, {"logits": logits}, {"logits": atol})


def npz(**arrays: Any) -> bytes:  # noqa: ANN401 - any arrays
    """As numpy itself writes it."""
    target = io.BytesIO()
    np.savez(target, **arrays)
    return target.getvalue()


def parts(check: CheckSet) -> dict[str, Any]:
    """What the file of ``some_check`` holds."""
    return {"pictures": check.pictures, "output.logits": check.outputs["logits"], "atol.logits": np.float32(0.1)}


def test_saved_and_loaded() -> None:
    """The same arrays, and the same bytes every time."""
    check = CheckSet(
        PICTURES,
        {"logits": np.random.default_rng(0).normal(size=(4, 10)).astype(np.float32), "boxes": np.ones((4, 2, 3), "f4")},
        {"logits": 0.25, "boxes": 0.5},
    )
    again = CheckSet.load(check.save())
    np.testing.assert_array_equal(again.pictures, check.pictures)
    assert list(again.outputs) == ["logits", "boxes"]
    np.testing.assert_array_equal(again.outputs["logits"], check.outputs["logits"])
    np.testing.assert_array_equal(again.outputs["boxes"], check.outputs["boxes"])
    assert again.atol == check.atol
    assert again.save() == check.save()


def test_numpy_reads_what_is_saved_and_the_other_way_round() -> None:
    """The file is an ordinary npz, compressed or not."""
    check = some_check()
    with np.load(io.BytesIO(check.save()), allow_pickle=False) as loaded:
        np.testing.assert_array_equal(loaded["pictures"], check.pictures)
        np.testing.assert_array_equal(loaded["output.logits"], check.outputs["logits"])
    np.testing.assert_array_equal(CheckSet.load(npz(**parts(check))).outputs["logits"], check.outputs["logits"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pictures": PICTURES[:3]}, "pictures"),
        ({"pictures": PICTURES.astype(np.float32)}, "uint8"),
        ({"pictures": PICTURES[0]}, "pictures"),
        ({"output.logits": np.ones((3, 4), "f4")}, "4 rows"),
        ({"output.logits": np.ones((4, 0), "f4")}, "4 rows"),
        ({"output.logits": np.ones(4, "f4")}, "4 rows"),
        ({"output.logits": np.ones((4, 4), "f8")}, "neither uint8 nor float32"),
        ({"output.logits": np.ones((4, 4), ">f4")}, "neither"),
        ({"output.logits": np.asfortranarray(np.ones((4, 4), "f4"))}, "neither"),
        ({"output.logits": np.full((4, 4), np.nan, "f4")}, "NaN"),
        ({"output.logits": PICTURES}, "float32"),
        ({"atol.logits": np.float32(0)}, "above 0"),
        ({"atol.logits": np.float32(np.inf)}, "above 0"),
        ({"atol.logits": np.ones(2, "f4")}, "one number"),
        ({"atol.logits": np.array(["x"], dtype=object)}, "neither"),
        ({"atol.other": np.float32(1)}, "must hold"),
        ({"output.more": np.ones((4, 4), "f4")}, "must hold"),
    ],
)
def test_a_check_that_can_not_be_is_refused(changes: dict[str, Any], reason: str) -> None:
    """Types, shapes and values, each with its reason."""
    with pytest.raises(BundleError, match=reason):
        CheckSet.load(npz(**(parts(some_check()) | changes)))


def test_a_missing_part_is_refused() -> None:
    """Pictures without outputs, outputs without pictures."""
    whole = parts(some_check())
    for name in whole:
        with pytest.raises(BundleError):
            CheckSet.load(npz(**{key: value for key, value in whole.items() if key != name}))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The declared sizes are added up first."""
    monkeypatch.setattr(check_module, "MAX_ARRAY_BYTES", 10_000)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pictures.npy", bytes(20_000))
    with pytest.raises(BundleError, match="unpacks to more"):
        CheckSet.load(target.getvalue())


def test_a_lying_zip_is_refused() -> None:
    """An entry that says it is small and is not: its size does not fit its shape, or zip says so."""
    data = some_check().save()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = archive.getinfo("pictures.npy").file_size
    lying = data.replace(size.to_bytes(4, "little"), (size - 90).to_bytes(4, "little"))
    assert lying != data
    with pytest.raises(BundleError):
        CheckSet.load(lying)


def test_the_same_name_twice_is_refused() -> None:
    """Which of the two would count?"""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("pictures.npy", b"a")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("pictures.npy", b"b")
    with pytest.raises(BundleError, match="twice"):
        CheckSet.load(target.getvalue())


@given(st.data())
def test_damaged_files_are_read_or_refused(data: st.DataObject) -> None:
    """Any bytes changed, any length cut: only BundleError comes out."""
    compressed = data.draw(st.booleans())
    damaged = bytearray(some_check().save() if compressed else npz(**parts(some_check())))
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        check = CheckSet.load(bytes(damaged[: data.draw(st.integers(len(damaged) // 2, len(damaged)))]))
    except BundleError:
        return
    assert check.pictures.shape[0] == 4


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    """Nothing random is a check."""
    with pytest.raises(BundleError):
        CheckSet.load(data)


@pytest.mark.parametrize("line", [b"(((((((" * 200, b"{'descr': '|O', ", b"9" * 2000, b"-" * 5000, b"\xff" * 40])
def test_array_headers_are_never_evaluated(line: bytes) -> None:
    """numpy's header is Python text; ours must match a pattern."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("pictures.npy", b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line)
    with pytest.raises(BundleError, match="neither uint8 nor float32"):
        CheckSet.load(target.getvalue())


def test_equal_outputs_pass() -> None:
    """No difference, no fault."""
    verdict = compare(some_check(), [2 * np.eye(4, dtype=np.float32)])
    assert (verdict.passed, verdict.max_abs_diff) == (True, 0.0)


@given(st.floats(0.001, 1), st.floats(-2, 2))
def test_within_the_tolerance_passes_and_beyond_fails(atol: float, shift: float) -> None:
    """Shifting all logits alike keeps the first class: the tolerance alone decides."""
    expected = 2 * np.eye(4)
    got = (expected + shift).astype(np.float32)
    diff = np.abs(got.astype(np.float64) - expected).max()
    verdict = compare(some_check(atol=atol), [got])
    assert verdict.passed == bool(diff <= atol)
    assert verdict.max_abs_diff == pytest.approx(diff)


def test_another_first_class_fails_within_the_tolerance() -> None:
    """A margin of 0.6 logit is decisive: engines may not turn it over; one of 0.4 they may."""
    for margin, passes in ((0.6, False), (0.4, True)):
        logits = np.zeros((4, 3), np.float32)
        logits[:, 0], logits[:, 1] = margin, 0.0
        check = CheckSet(PICTURES, {"logits": logits}, {"logits": 1.0})
        turned = logits.copy()
        turned[2, 1] = margin + 0.1
        verdict = compare(check, [turned])
        assert verdict.passed is passes
        assert ("picture 2" in verdict.detail) is not passes


@pytest.mark.parametrize(
    ("outputs", "reason"),
    [
        ([], "0 outputs"),
        ([np.zeros((4, 4), "f4")] * 2, "2 outputs"),
        ([np.zeros((4, 5), "f4")], "shape"),
        ([np.full((4, 4), np.nan, "f4")], "NaN"),
        ([np.full((4, 4), np.inf, "f4")], "infinity"),
        ([np.zeros((4, 4), "f4")], "differs by 2"),
    ],
)
def test_wrong_outputs_fail_with_a_reason(outputs: list[NDArray[np.float32]], reason: str) -> None:
    """The verdict says what is wrong."""
    verdict = compare(some_check(), outputs)
    assert not verdict.passed
    assert reason in verdict.detail


def explained(logits: NDArray[np.float32], maps: NDArray[np.float32]) -> CheckSet:
    """A check with class-activation maps, which may be off by 1; logits by 2."""
    return CheckSet(PICTURES, {"logits": logits, "class_activation": maps}, {"logits": 2.0, "class_activation": 1.0})


def test_maps_are_judged_by_their_own_tolerance_and_told_apart() -> None:
    logits, maps = 9 * np.eye(4, dtype=np.float32), np.full((4, 2, 2), 30, np.float32)
    verdict = compare(explained(logits, maps), [logits + np.float32(0.25), maps + np.float32(0.9)])
    assert (verdict.passed, verdict.max_abs_diff) == (True, 0.25)
    verdict = compare(explained(logits, maps), [logits, maps + np.float32(1.1)])
    assert not verdict.passed
    assert "class_activation differs by 1.1" in verdict.detail


def test_the_map_of_another_first_class_is_not_compared() -> None:
    logits, maps = np.zeros((4, 3), np.float32), np.zeros((4, 2, 2), np.float32)
    logits[:, 0] = 0.3
    turned, other = logits.copy(), maps.copy()
    turned[2, 1] = 0.4
    other[2] = 50
    assert compare(explained(logits, maps), [turned, other]).passed
    assert not compare(explained(logits, maps), [logits, other]).passed
    other[1] = 50
    assert not compare(explained(logits, maps), [turned, other]).passed


def test_maps_get_a_tenth_of_their_largest_value() -> None:
    maps = np.linspace(-5, 20, 16, dtype=np.float32).reshape(4, 2, 2)
    logits = 9 * np.eye(4, dtype=np.float32)
    check = make_check(PICTURES, lambda _: [logits, maps], names=("logits", "class_activation"))
    assert check.atol["class_activation"] == pytest.approx(2.0)


def test_make_check_records_what_runs() -> None:
    """Expected values are the runner's; the tolerance grows with them and with the precision."""

    def run(pictures: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        return [pictures.reshape(4, -1)[:, :5].astype(np.float32)]

    fp32, int8 = make_check(PICTURES, run), make_check(PICTURES, run, precision="int8")
    np.testing.assert_array_equal(fp32.outputs["logits"], run(PICTURES)[0])
    assert 0 < fp32.atol["logits"] < int8.atol["logits"]
    assert make_check(PICTURES, run, atol={"logits": 3.0}).atol == {"logits": 3.0}
    with pytest.raises(BundleError, match="1 outputs, expected 2"):
        make_check(PICTURES, run, names=("logits", "boxes"))


@pytest.mark.parametrize("shape", [(1, 1, 1), (28, 28, 1), (224, 224, 3), (7, 301, 3)])
def test_synthetic_pictures(shape: tuple[int, int, int]) -> None:
    """Four different pictures of the size asked for, the same each time."""
    pictures = synthetic_pictures(*shape)
    assert pictures.shape == (4, *shape)
    assert pictures.dtype == np.uint8
    np.testing.assert_array_equal(pictures, synthetic_pictures(*shape))
    if shape != (1, 1, 1):
        assert len({picture.tobytes() for picture in pictures}) == 4
