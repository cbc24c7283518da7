"""What one stream remembers of its frames: the gate and the smoothing.

The measure. A frame's input, as the model would get it, is averaged over blocks
into at most 16 × 16 cells per channel. Two frames differ by the mean absolute
difference of their cells, in levels of 0 to 255. Averaging takes a sensor's
noise out and keeps what moves. Measured on 341 phone photos at 224 × 224: noise of
σ = 5 makes 0.4, JPEG at quality 60 makes 0.5, 5 % less light 6, a pan by 1 % of the
view 5 (medians). Two levels are a gate for a camera that stands still.

The gate. A frame that differs by at most ``gate`` from the last one *run* is not
run: it gets that one's scores again. It is compared with that one and not with
the frame before it, so that a slow change cannot creep past.

The smoothing. The scores told are an exponential average, ``smoothing`` being the
weight of the past, of the frames run. A frame further than ``SCENE_CUT`` from the
last one run starts it anew: 99 % of pairs of different photos are further apart,
95 % of pans by 5 % of the view between two frames, a quick one, are not.

Two instances never hold two frames of one history: the queue gives the next one
out when the one before is done (``job_queue.py``). What a stream is told therefore
does not depend on how many instances there are or which is quicker. Such a stream
has one instance's speed; others go on meanwhile. The lock is for the hand-over
from one instance's thread to another's.
"""

import threading
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

CELLS = 16  # along each side, at most
SCENE_CUT = 30.0

Thumbnail = NDArray[np.float32]
Scores = NDArray[np.float32]


def thumbnail_of(pixels: NDArray[np.uint8]) -> Thumbnail:
    """Averages over blocks.

    Args:
        pixels: a model's input, (H, W, channels).
    Returns:
        Levels of 0 to 255, (h, w, channels), h and w at most ``CELLS``; the last block of a side may be smaller.
    """
    height, width, channels = pixels.shape
    columns, areas = _blocks(height, width)
    strips = _row_sums(pixels, -(-height // CELLS)).reshape(-1, width, channels)
    sums: NDArray[np.float32] = np.add.reduceat(strips, columns, axis=1, dtype=np.float32)  # exact: under 2²⁴
    return sums / areas


@lru_cache(maxsize=8)
def _blocks(height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Where the blocks of columns begin, and the pixels of every block, (h, w, 1)."""
    rows, columns = (np.arange(0, side, -(-side // CELLS)) for side in (height, width))
    areas = np.outer(np.diff(rows, append=height), np.diff(columns, append=width))
    return columns, areas[:, :, None].astype(np.float32)


def _row_sums(pixels: NDArray[np.uint8], block: int) -> NDArray[np.uint32]:
    """Sums over blocks of whole rows: (blocks, W * channels). Six times as fast as ``reduceat`` along this axis."""
    height = len(pixels)
    whole = height // block
    flat = pixels.reshape(height, -1)
    sums = np.empty((-(-height // block), flat.shape[1]), np.uint32)
    np.add.reduce(flat[: whole * block].reshape(whole, block, -1), axis=1, dtype=np.uint32, out=sums[:whole])
    if whole < len(sums):
        np.add.reduce(flat[whole * block :], axis=0, dtype=np.uint32, out=sums[whole])
    return sums


def difference(one: Thumbnail, other: Thumbnail) -> float:
    """The mean absolute difference, in levels; infinity between inputs of different shapes."""
    if one.shape != other.shape:
        return float("inf")
    return float(np.abs(one - other).mean())


@dataclass(frozen=True, slots=True)
class RunFrame:
    """The last frame of a stream that was run, as it was told.

    ``scores`` (C,) are those after smoothing. ``shown``, (h, w), is the map of the best
    class; None where smoothing put another class first, or when it was not ``explained``.
    """

    thumbnail: Thumbnail
    scores: Scores
    batch_size: int
    shown: NDArray[np.float32] | None
    explained: bool


class FrameHistory:
    """One stream's memory, for one choice of options.

    Args:
        gate: in levels, 0 to 255; 0 runs every frame.
        smoothing: weight of the past, 0 ≤ w < 1; 0 tells every frame its own scores.
    Raises:
        ValueError: out of these ranges.
    """

    def __init__(self, gate: float = 0.0, smoothing: float = 0.0) -> None:
        if not 0.0 <= gate <= 255.0:
            raise ValueError(f"gate is {gate}; it must lie in 0 to 255 levels")
        if not 0.0 <= smoothing < 1.0:
            raise ValueError(f"smoothing is {smoothing}; it must be at least 0 and less than 1")
        self._gate = gate
        self._smoothing = smoothing
        self._lock = threading.Lock()
        self._last: RunFrame | None = None

    def repeated(self, thumbnail: Thumbnail, explain: bool = False) -> RunFrame | None:
        """The last frame run, when this one hardly differs from it and nothing more is asked; None: it must be run."""
        with self._lock:
            last = self._last
        if not self._gate or last is None or (explain and not last.explained):
            return None
        return last if difference(last.thumbnail, thumbnail) <= self._gate else None

    def ran(
        self, thumbnail: Thumbnail, scores: Scores, batch_size: int, shown: NDArray[np.float32] | None = None
    ) -> RunFrame:
        """A frame was run.

        Args:
            scores: its own, (C,), finite.
            shown: the map of its own best class, where it was asked for.
        Returns:
            What it is to be told.
        """
        with self._lock:
            told = np.array(self._smoothed(thumbnail, scores))  # its own: an engine may write over what it returned
            same_best = shown is not None and told.argmax() == scores.argmax()
            self._last = RunFrame(thumbnail, told, batch_size, shown if same_best else None, shown is not None)
            return self._last

    def _smoothed(self, thumbnail: Thumbnail, scores: Scores) -> Scores:
        last = self._last
        if not self._smoothing or last is None or last.scores.shape != scores.shape:
            return scores
        if difference(last.thumbnail, thumbnail) > SCENE_CUT:
            return scores
        return np.float32(self._smoothing) * last.scores + np.float32(1.0 - self._smoothing) * scores
