"""Pictures as the server gives them to the network: what is measured on them is what will be served.

Files go through ``model_zoo.preprocess.prepare``, the very code that serves, and
pixels through ``preprocess``, which defines it.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from model_zoo.spec import InputSpec
from optimize.data.dataset import Dataset, Pixels
from optimize.data.fitting import fit_from, thread_count


def evaluation_pictures(dataset: Dataset, spec: InputSpec, *, workers: int = 0) -> Pixels:
    """All of them, uint8 (N, spec.height, spec.width, spec.channels).

    Args:
        workers: decoding threads; 0: as many as cores.
    Raises:
        DataError: a picture can't be decoded.
    """
    pictures = np.empty((len(dataset), spec.height, spec.width, spec.channels), np.uint8)
    start = 0
    for batch in evaluation_batches(dataset, spec, workers=workers):
        pictures[start : start + len(batch)] = batch
        start += len(batch)
    return pictures


def evaluation_batches(
    dataset: Dataset, spec: InputSpec, batch_size: int = 64, *, workers: int = 0
) -> Iterator[Pixels]:
    """The same in order, some at a time, for sets that do not fit into memory; two batches are decoded ahead."""

    def prepare(index: int) -> Pixels:
        return fit_from(dataset, index, lambda _: spec)

    waiting: deque[list[Future[Pixels]]] = deque()
    with ThreadPoolExecutor(thread_count(workers)) as pool:
        try:
            for start in range(0, len(dataset), batch_size):
                stop = min(start + batch_size, len(dataset))
                waiting.append([pool.submit(prepare, index) for index in range(start, stop)])
                if len(waiting) > 2:
                    yield np.stack([one.result() for one in waiting.popleft()])
            while waiting:
                yield np.stack([one.result() for one in waiting.popleft()])
        finally:
            for batch in waiting:
                for one in batch:
                    one.cancel()
