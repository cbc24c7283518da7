"""What every engine asks of a batch before it touches it."""

import numpy as np
from numpy.typing import NDArray

from model_zoo.spec import InputSpec
from server.backends.errors import BackendError


def sizes_up_to(largest: int) -> list[int]:
    """1, 2, 4 … and the largest itself, rising; at most 256 before it."""
    return [size for size in (2**power for power in range(9)) if size < largest] + [largest]


def batch_limit(spec: InputSpec, max_batch_size: int) -> int:
    """The most pictures of one run: what was asked for, or what the graph takes, whichever is less."""
    return max_batch_size if spec.max_batch is None else min(max_batch_size, spec.max_batch)


def refuse_odd_batch(batch: NDArray[np.uint8], spec: InputSpec, limit: int) -> None:
    """Refuse what the graph was not made for: an engine may crash on it, or answer nonsense.

    Raises:
        BackendError: another type, shape, memory layout, or more than ``limit`` pictures.
    """
    picture = (spec.height, spec.width, spec.channels)
    if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[1:] != picture:
        raise BackendError(
            f"a batch must be uint8 (N, {', '.join(map(str, picture))}), not {batch.dtype} {batch.shape}"
        )
    if not 1 <= len(batch) <= limit:
        raise BackendError(f"a batch of {len(batch)} pictures: this instance takes 1 to {limit}")
    if not batch.flags.c_contiguous:
        raise BackendError("a batch must be C-contiguous")


def padded(batch: NDArray[np.uint8], rows: int) -> NDArray[np.uint8]:
    """The batch with black pictures after it, for graphs that take exactly ``rows``."""
    if len(batch) == rows:
        return batch
    whole = np.zeros((rows, *batch.shape[1:]), np.uint8)
    whole[: len(batch)] = batch
    return whole
