"""``check.npz``: four pictures and what the model says of them.

Every engine runs these when it loads a bundle. A driver that is wrong, an
INT8 kernel that saturates, a stale file: all show here, before the first
user's picture.

The file is a zip of plain arrays: ``pictures``, and for each output its
expected values and its tolerance (``output.NAME``, ``atol.NAME``). It is read
by hand, without ``numpy.load``: uint8 and float32 arrays alone, sizes checked
before anything is unpacked, nothing that could hold a pickle.
"""

import io
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_zoo.errors import BundleError
from model_zoo.spec import CLASS_ACTIVATION, Precision

PICTURES = 4
MAX_ARRAY_BYTES = 256 * 2**20
DECISIVE_MARGIN = 0.5

# Of the largest expected value: what engines may differ by. INT8 engines round differently, by under 0.02 where it was
# measured (two engines, nets from 25,000 to 4.6 million weights); 8-bit sums that saturate, by 0.1 and more.
TOLERANCE: dict[Precision, float] = {"fp32": 0.02, "fp16": 0.04, "int8": 0.05}
# Of the largest value of the maps, in every precision: a map is looked at.
MAP_TOLERANCE = 0.1

Run = Callable[[NDArray[np.uint8]], Sequence[NDArray[np.float32]]]

Array = NDArray[np.uint8] | NDArray[np.float32]

_STORED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_HEADER = re.compile(
    r"\{'descr': '(\|u1|<f4)', 'fortran_order': False, 'shape': \(((?:\d{1,9}(?:, ?\d{1,9})*,?)?)\), \} *\n"
)


@dataclass(frozen=True, slots=True)
class CheckSet:
    """Pictures at input size and the outputs to expect.

    ``pictures``: uint8 (4, height, width, channels). ``outputs``: per output
    name float32 (4, …), in graph order. ``atol``: per output name the largest
    absolute difference allowed.
    """

    pictures: NDArray[np.uint8]
    outputs: dict[str, NDArray[np.float32]]
    atol: dict[str, float]

    def __post_init__(self) -> None:
        """Raises: BundleError: shapes, types, names or values that no check can have."""
        if self.pictures.dtype != np.uint8 or self.pictures.ndim != 4 or len(self.pictures) != PICTURES:
            raise BundleError(f"check pictures must be uint8 ({PICTURES}, height, width, channels)")
        if not self.outputs or self.outputs.keys() != self.atol.keys():
            raise BundleError("a check needs at least one output, and one tolerance for each")
        for name, values in self.outputs.items():
            if values.dtype != np.float32 or values.ndim < 2 or len(values) != PICTURES or not values.size:
                raise BundleError(f"check output '{name}' must be float32 with {PICTURES} rows")
            if not np.isfinite(values).all():
                raise BundleError(f"check output '{name}' holds NaN or infinity")
            if not (math.isfinite(self.atol[name]) and self.atol[name] > 0):
                raise BundleError(f"check tolerance of '{name}' must be a number above 0")

    def save(self) -> bytes:
        """The bytes of ``check.npz``; equal checks give equal bytes."""
        arrays: dict[str, Array] = {"pictures": self.pictures}
        for name, values in self.outputs.items():
            arrays[f"output.{name}"] = values
            arrays[f"atol.{name}"] = np.array(self.atol[name], dtype=np.float32)
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as archive:
            for key, array in arrays.items():
                buffer = io.BytesIO()
                np.lib.format.write_array(buffer, np.asarray(array, order="C"), version=(1, 0), allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{key}.npy"), buffer.getvalue(), zipfile.ZIP_DEFLATED, 9)
        return target.getvalue()

    @staticmethod
    def load(data: bytes) -> "CheckSet":
        """Read ``check.npz``.

        Raises:
            BundleError: not such a file, larger than it may be, or values that no check can have.
        """
        arrays = _read_arrays(data)
        names = [key.removeprefix("output.") for key in arrays if key.startswith("output.")]
        if arrays.keys() != {"pictures", *(f"output.{n}" for n in names), *(f"atol.{n}" for n in names)}:
            raise BundleError("check.npz must hold pictures, and output.NAME with atol.NAME for each output")
        if any(arrays[f"atol.{name}"].shape for name in names):
            raise BundleError("check.npz: a tolerance must be one number")
        outputs = {name: _float32(arrays[f"output.{name}"]) for name in names}
        atol = {name: float(_float32(arrays[f"atol.{name}"])) for name in names}
        return CheckSet(_uint8(arrays["pictures"]), outputs, atol)


@dataclass(frozen=True, slots=True)
class CheckVerdict:
    """Whether an engine's outputs are the expected ones; ``detail`` is for people.

    ``max_abs_diff`` is over all outputs but class-activation maps, which are of another magnitude.
    """

    passed: bool
    max_abs_diff: float
    detail: str


def _uint8(array: Array) -> NDArray[np.uint8]:
    if array.dtype != np.uint8:
        raise BundleError("check.npz: the pictures are not uint8")
    return array.astype(np.uint8, copy=False)


def _float32(array: Array) -> NDArray[np.float32]:
    if array.dtype != np.float32:
        raise BundleError("check.npz: outputs and tolerances must be float32")
    return array.astype(np.float32, copy=False)


def _read_arrays(data: bytes) -> dict[str, Array]:
    """The arrays of an npz, uint8 and float32 alone, by key."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _refuse_odd_entries(entries)
            return {entry.filename.removesuffix(".npy"): _parse_npy(archive.read(entry)) for entry in entries}
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        ValueError,
        EOFError,
        OverflowError,
        KeyError,
        IndexError,
        NotImplementedError,
    ) as error:
        raise BundleError(f"check.npz can't be read: {error}") from error


def _refuse_odd_entries(entries: Sequence[zipfile.ZipInfo]) -> None:
    if len({entry.filename for entry in entries}) != len(entries) or len(entries) > 64:
        raise BundleError("check.npz has too many entries, or one twice")
    if any(
        entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        for entry in entries
    ):
        raise BundleError("check.npz is encrypted, or compressed in a way that is not read here")
    if sum(entry.file_size for entry in entries) > MAX_ARRAY_BYTES:
        raise BundleError(f"check.npz unpacks to more than {MAX_ARRAY_BYTES} bytes")


def _parse_npy(data: bytes) -> Array:
    """One array of an npz entry's bytes."""
    if data[:8] != b"\x93NUMPY\x01\x00" or len(data) < 10:
        raise BundleError("check.npz holds something that is not a plain array")
    start = 10 + int.from_bytes(data[8:10], "little")
    header = _HEADER.fullmatch(data[10:start].decode("latin-1"))
    if header is None:
        raise BundleError("check.npz holds an array that is neither uint8 nor float32")
    shape = tuple(int(number) for number in re.findall(r"\d+", header[2]))
    if math.prod(shape) * (1 if header[1] == "|u1" else 4) != len(data) - start:
        raise BundleError("check.npz holds an array whose size is not that of its shape")
    if header[1] == "|u1":
        return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
    return np.frombuffer(data, np.float32, offset=start).reshape(shape)


def compare(check: CheckSet, outputs: Sequence[NDArray[np.floating]]) -> CheckVerdict:
    """Judge an engine's outputs for ``check.pictures``.

    Passed when every output lies within its tolerance, and where ``logits``
    puts its first class more than half a logit ahead, the first class is the same.
    A class-activation map is of the first class: where that is another one, as it may be
    when the two are close, there is nothing to compare it with.

    Args:
        outputs: one array per output, in the check's order.
    """
    if len(outputs) != len(check.outputs):
        return CheckVerdict(False, math.inf, f"{len(outputs)} outputs, expected {len(check.outputs)}")
    worst, faults = 0.0, []
    rows: NDArray[np.bool_] = np.ones(PICTURES, np.bool_)
    for (name, expected), got in zip(check.outputs.items(), outputs, strict=True):
        if got.shape != expected.shape:
            return CheckVerdict(False, math.inf, f"{name} has shape {got.shape}, expected {expected.shape}")
        if not np.isfinite(got).all():
            return CheckVerdict(False, math.inf, f"{name} holds NaN or infinity")
        is_map = name == CLASS_ACTIVATION
        diff = float(np.abs(got.astype(np.float64) - expected)[rows if is_map else slice(None)].max(initial=0))
        worst = worst if is_map else max(worst, diff)
        if diff > check.atol[name]:
            faults.append(f"{name} differs by {diff:.4g}, allowed {check.atol[name]:.4g}")
        if name == "logits":
            rows = _first_classes(expected) == _first_classes(got)
            if others := _other_first_class(expected, got):
                faults.append(f"another first class for picture {', '.join(map(str, others))}")
    return CheckVerdict(not faults, worst, "; ".join(faults) or f"largest difference {worst:.4g}")


def _first_classes(logits: NDArray[np.floating]) -> NDArray[np.int64]:
    best: NDArray[np.int64] = logits.reshape(len(logits), -1).argmax(axis=1)
    return best


def _other_first_class(expected: NDArray[np.float32], got: NDArray[np.floating]) -> list[int]:
    """Rows (from 0) where ``expected`` is decisive and ``got`` disagrees."""
    if expected.ndim != 2 or expected.shape[1] < 2:
        return []
    best_two = np.sort(expected, axis=1)[:, -2:]
    decisive = best_two[:, 1] - best_two[:, 0] > DECISIVE_MARGIN
    other = _first_classes(expected) != _first_classes(got)
    return [int(row) for row in np.flatnonzero(decisive & other)]


def make_check(
    pictures: NDArray[np.uint8],
    run: Run,
    *,
    names: Sequence[str] = ("logits",),
    precision: Precision = "fp32",
    atol: Mapping[str, float] | None = None,
) -> CheckSet:
    """Record what ``run`` says of four pictures.

    Args:
        pictures: uint8 (4, height, width, channels).
        run: takes the pictures, returns one float32 array per name.
        names: the outputs, in graph order.
        precision: sets the tolerance where ``atol`` does not: a share of the largest expected value
            (``MAP_TOLERANCE`` for class-activation maps).
        atol: the largest absolute difference allowed, per output name.
    Raises:
        BundleError: the wrong number of outputs, or values that no check can have.
    """
    outputs = run(pictures)
    if len(outputs) != len(names):
        raise BundleError(f"the model gave {len(outputs)} outputs, expected {len(names)}: {', '.join(names)}")
    expected = {name: np.asarray(values, np.float32) for name, values in zip(names, outputs, strict=True)}
    share = {name: MAP_TOLERANCE if name == CLASS_ACTIVATION else TOLERANCE[precision] for name in names}
    default = {name: max(share[name] * float(np.abs(values).max(initial=0)), 1e-3) for name, values in expected.items()}
    return CheckSet(np.ascontiguousarray(pictures), expected, {**default, **(atol or {})})


def synthetic_pictures(height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Four pictures that are the same everywhere: ramp, waves, tiles, noise; (4, height, width, channels)."""
    rows = np.linspace(0, 1, height, dtype=np.float64)[:, None, None]
    columns = np.linspace(0, 1, width, dtype=np.float64)[None, :, None]
    phase = np.arange(channels, dtype=np.float64)[None, None, :] / 3
    ramp = (rows * (1 - phase) + columns * phase) * 255
    waves = 127.5 + 60 * np.sin(9 * rows + 2 * phase) + 60 * np.cos(13 * columns - phase)
    tiles = ((rows * 8).astype(int) + (columns * 8).astype(int) + np.arange(channels)) % 3 * 100.0
    count = height * width * channels
    noise = (np.arange(count, dtype=np.uint64) * np.uint64(2654435761) >> np.uint64(15)) % np.uint64(256)
    stack = np.stack([np.broadcast_to(picture, (height, width, channels)) for picture in (ramp, waves, tiles)])
    return np.concatenate([np.rint(stack).astype(np.uint8), noise.astype(np.uint8).reshape(1, height, width, channels)])
