"""A graph asked what it means, in the place of its bundle's own: every operator in float32, no engine's kernels."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from model_zoo.bundle import Bundle
from optimize.judging.arithmetic import BATCH, open_model
from optimize.judging.judged_model import Pictures, Rows
from server.backends.threads import available_cores


class GraphModel:
    """See ``JudgedModel``; all cores, a batch each."""

    def __init__(self, bundle: Bundle, model: bytes) -> None:
        """Open it.

        Args:
            bundle: whose input, labels and first output ``model`` has.
            model: ONNX.
        """
        self.name = f"{bundle.spec.name}/{bundle.spec.version}"
        self.spec, self.labels = bundle.spec.input, bundle.labels
        self.runs_on = "what the graph means"
        self.size_bytes = len(model)
        self._run = open_model(model, "reference", output=bundle.spec.outputs[0].name)

    def logits(self, pictures: Pictures) -> Rows:
        """See ``JudgedModel.logits``."""
        parts = [pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH)]
        with ThreadPoolExecutor(available_cores()) as pool:
            return np.concatenate(list(pool.map(self._run, parts)))

    def maps(self, pictures: Pictures) -> Rows | None:
        """None: nobody asks."""
        return None

    def close(self) -> None:
        """Nothing is held but memory."""
