"""What a trained network costs: the second objective of a search.

A latency is measured when its trial ends. Where several workers search on one machine, the
others train meanwhile: it is the latency on a busy machine, and no two trials find it equally
busy. Counts (parameters, macs) do not depend on that; nor does a search of one worker.
"""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from model_zoo.bundle import Bundle, read_bundle
from optimize.search.options import Cost

WARMUP_RUNS = 10
RUNS = 50


def cost_of(bundle_folder: Path, cost: Cost) -> float:
    """One figure of an exported bundle.

    Args:
        cost: "latency_ms", measured with the engine that would serve it, one picture on one thread, the median of
            ``RUNS``; "parameters"; "macs", multiply-adds of one picture.
    Raises:
        BundleError: the bundle is not whole.
        BackendError: no engine runs it.
    """
    bundle = read_bundle(bundle_folder)
    if cost == "latency_ms":
        return latency_ms(bundle)
    return float(macs(bundle) if cost == "macs" else parameters(bundle))


def parameters(bundle: Bundle) -> int:
    """Weights that training moves; running statistics of batch norms are none."""
    from model_zoo.weights import restore

    return sum(one.numel() for one in restore(bundle).parameters())


def macs(bundle: Bundle) -> int:
    """Multiply-adds of convolutions and matrix products for one picture, by torch's own counter."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from model_zoo.weights import restore

    spec = bundle.spec.input
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        restore(bundle)(torch.zeros(1, spec.channels, spec.height, spec.width))
    return int(counter.get_total_flops()) // 2


def latency_ms(bundle: Bundle, *, runs: int = RUNS) -> float:
    """Median time of one picture on one thread of this machine."""
    from server.backends import BackendOptions
    from server.backends.selection import open_backend

    backend = open_backend(bundle, BackendOptions(threads=1, max_batch_size=1)).backend
    try:
        picture = np.ascontiguousarray(bundle.check().pictures[:1])
        for _ in range(WARMUP_RUNS):
            backend.run(picture)
        return 1000 * median(_seconds(lambda: backend.run(picture)) for _ in range(runs))
    finally:
        backend.close()


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
