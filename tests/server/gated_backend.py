"""A backend for tests that need to know exactly what runs, and when."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_zoo.check import CheckVerdict
from server.backends import Backend
from server.served_model import LoadedModel
from tests.server.mean_colour import expected_logits, write_mean_colour

WAIT_S = 20.0  # never reached: a test that hangs should say so

Outputs = tuple[NDArray[np.float32], ...]


class GatedBackend:
    """Answers as ``mean_colour`` would, once ``gate`` is open; ``fault`` may spoil a run's outputs or raise."""

    name = "gated"
    device = "cpu"
    precision = "fp32"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.batches: list[int] = []
        self.fault: Callable[[Outputs], Outputs] | None = None
        self.closed = 0

    def run(self, batch: NDArray[np.uint8], explain: bool = False) -> Outputs:
        self.batches.append(len(batch))
        self.entered.release()
        if not self.gate.wait(WAIT_S):
            raise TimeoutError("the test never opened the gate")
        outputs: Outputs = (expected_logits(batch),)
        return outputs if self.fault is None else self.fault(outputs)

    def close(self) -> None:
        self.closed += 1


def loaded_with(store: Path, backends: Sequence[Backend], max_batch_size: int = 4) -> LoadedModel:
    """The mean-colour bundle on these backends, as if it had been loaded and checked."""
    return LoadedModel(
        bundle=write_mean_colour(store),
        backends=tuple(backends),
        verdict=CheckVerdict(True, 0.0, "passed"),
        refused=(),
        threads=1,
        max_batch_size=max_batch_size,
    )
