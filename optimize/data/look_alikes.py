"""Pictures that likely are copies of one another, though their bytes differ: encoded anew, or resized.

Each picture is shrunk to 16 × 16 grey levels (Pillow's antialiased bilinear). Two
are look-alikes when these differ by no more than ``NEAR_LEVELS`` of 255, root mean
square. On 341 phone photos, copies saved as JPEG of quality 30, PNG or WebP, halved
or squashed to a square differ by 0.25 to 1.4; of 3,409 photos the nearest two that
are not copies differ by 5.2. A mirrored, cropped or recoloured copy is not found.

The search is exact and cheap: 16 low frequencies of the shrunk picture (an
orthonormal transform, so their distance never is the larger) go into a k-d tree.
Where one camera looks at one scene, every picture is like every other, and this
tells nothing: such sets are known by how many look-alikes each picture has.
"""

import numpy as np
from numpy.typing import NDArray

from optimize.data.dataset import Pixels

SIDE = 16
NEAR_LEVELS = 2.0
_FREQUENCIES = 4  # along each axis

_COPIES_EACH = 5  # more look-alikes than this, in the mean, are no copies but pictures of one scene
_CANDIDATES_EACH = 20
_CHUNK = 256  # pictures shrunk at a time
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601

Thumbnails = NDArray[np.uint8]  # (N, SIDE, SIDE)


def thumbnails_of(pixels: Pixels) -> Thumbnails:
    """Thumbnails of many pictures of one size, (N, H, W, C) → (N, SIDE, SIDE)."""
    across, down = _shrinking(pixels.shape[2]).T, _shrinking(pixels.shape[1]).T
    small = np.empty((len(pixels), SIDE, SIDE), np.uint8)
    for start in range(0, len(pixels), _CHUNK):
        some = pixels[start : start + _CHUNK]
        grey = some[..., 0].astype(np.float32) if some.shape[3] == 1 else some @ _LUMA
        wide = (grey @ across).transpose(0, 2, 1)
        small[start : start + _CHUNK] = np.rint(wide @ down).transpose(0, 2, 1)
    return small


def _shrinking(size: int) -> NDArray[np.float32]:
    """(SIDE, size): the weights of Pillow's bilinear filter from ``size`` px to ``SIDE``."""
    scale = size / SIDE
    centres = (np.arange(SIDE)[:, None] + 0.5) * scale
    weights = np.maximum(1 - np.abs(np.arange(size) + 0.5 - centres) / max(scale, 1), 0)
    shares: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def look_alikes(
    first: Thumbnails, second: Thumbnails, near_levels: float = NEAR_LEVELS
) -> list[tuple[int, int]] | None:
    """Every picture of ``second`` that has a look-alike in ``first``, after the first such one there.

    Returns:
        (place in ``first``, place in ``second``), in the order of ``second``; None where all are too much alike.
    """
    pairs = _pairs(first, second, near_levels)
    if pairs is None:
        return None
    nearest = {int(place): int(other) for place, other in sorted(pairs.tolist(), reverse=True)}
    too_many = len(pairs) > _COPIES_EACH * len(nearest) + _COPIES_EACH
    return None if too_many else [(nearest[place], place) for place in sorted(nearest)]


def _pairs(first: Thumbnails, second: Thumbnails, near_levels: float) -> NDArray[np.int64] | None:
    """(M, 2): places in ``second`` and in ``first``; None where there are far too many."""
    from scipy.spatial import cKDTree

    if not len(first) or not len(second):
        return np.empty((0, 2), np.int64)
    trees = [cKDTree(_low_frequencies(some)) for some in (first, second)]
    reach = near_levels * (1 + 1e-5)
    if trees[0].count_neighbors(trees[1], reach) > _CANDIDATES_EACH * (len(first) + len(second)):
        return None
    candidates = trees[0].sparse_distance_matrix(trees[1], reach, output_type="ndarray")
    pairs = np.stack([candidates["j"], candidates["i"]], axis=1).astype(np.int64)
    difference = first[pairs[:, 1]].astype(np.float32) - second[pairs[:, 0]]
    alike: NDArray[np.int64] = pairs[np.sqrt((difference**2).mean(axis=(1, 2))) <= near_levels]
    return alike


def _low_frequencies(thumbnails: Thumbnails) -> NDArray[np.float32]:
    from scipy.fft import dct

    waves = dct(np.eye(SIDE), norm="ortho", axis=0)[:_FREQUENCIES]
    projection = np.kron(waves, waves).astype(np.float32).T / SIDE  # root mean square, not root of the sum
    low: NDArray[np.float32] = np.matmul(thumbnails.reshape(len(thumbnails), -1), projection, dtype=np.float32)
    return low
