"""What a network says of a data set, each picture prepared as the server prepares it."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model_zoo.spec import InputSpec
from optimize.data.dataset import Dataset
from optimize.data.picture_store import open_store
from optimize.errors import TrainingError
from optimize.judging.predictions import Predictions
from optimize.judging.probabilities import label_losses, probabilities
from optimize.judging.reliability import calibration_error, equal_width
from optimize.training.finished import Looked
from optimize.training.network.evaluation_mode import evaluation_mode
from optimize.training.normalise import Normalise

BATCH = 64
TOP = 5


class EvaluationSet:
    """A data set that is looked at again and again; decoded once, where it fits into memory."""

    def __init__(
        self,
        dataset: Dataset,
        spec: InputSpec,
        device: torch.device,
        *,
        memory_mb: int = 2048,
        workers: int = 0,
        channels_last: bool = True,
    ) -> None:
        """
        Raises:
            DataError: a picture can't be decoded.
        """
        self.dataset = dataset
        self._device = device
        self._normalise = Normalise(spec, device, channels_last=channels_last)
        self._store = open_store(dataset, spec, memory_mb=memory_mb, workers=workers, device=device)

    def bytes(self, indices: NDArray[np.int64]) -> Tensor:
        """What a server would give to the bundle's graph, as uint8 (n, C, H, W)."""
        return self._store.batch(indices)

    def inputs(self, indices: NDArray[np.int64]) -> Tensor:
        """The same for the network: normalised float (n, C, H, W), on the device."""
        return self._normalise.of_bytes(self.bytes(indices).to(self._device))

    def logits(self, module: nn.Module, batch: int = BATCH) -> NDArray[np.float32]:
        """(N, classes of all tasks), in fp32 and evaluation mode; the module is as before afterwards.

        Raises:
            TrainingError: answers that are not numbers: a last step may ruin the weights though its loss was a number.
        """
        parts = []
        with evaluation_mode(module):
            for start in range(0, len(self.dataset), batch):
                indices = np.arange(start, min(start + batch, len(self.dataset)))
                parts.append(module(self.inputs(indices)).float())
        rows: NDArray[np.float32] = torch.cat(parts).cpu().numpy()
        ruined = int((~np.isfinite(rows)).any(1).sum())
        if ruined:
            raise TrainingError(
                f"the network's answers to {ruined} of {len(rows)} pictures of {self.dataset.name} are not numbers: "
                "training has stopped. Most often the learning rate is too high: try a tenth of it in a new folder"
            )
        return rows

    def predictions(self, logits: NDArray[np.float32], task: int = 0) -> Predictions:
        """One task's share of ``logits``, for the pictures that have a label for it."""
        tasks = self.dataset.tasks
        start = sum(len(one.classes) for one in tasks[:task])
        known = np.flatnonzero(self.dataset.labels[:, task] >= 0)
        return Predictions(
            logits[known, start : start + len(tasks[task].classes)],
            self.dataset.labels[known, task],
            tasks[task].classes,
            tuple(self.dataset.identifier(index) for index in known.tolist()),
        )

    def close(self) -> None:
        """End the decoding threads."""
        self._store.close()


def predict_dataset(
    network: nn.Module, dataset: Dataset, spec: InputSpec, batch: int = BATCH, *, device: str = "cpu"
) -> Predictions:
    """Logits of the first task for each picture that has a label for it.

    Args:
        network: normalised (N, C, H, W) → logits (N, classes of all tasks), on ``device``.
    Raises:
        DataError: a picture can't be decoded.
    """
    pictures = EvaluationSet(dataset, spec, torch.device(device))
    try:
        return pictures.predictions(pictures.logits(network, batch))
    finally:
        pictures.close()


def looked_at(predictions: Predictions) -> Looked:
    """The figures of an epoch."""
    rows = predictions.logits.astype(np.float64)
    labels = predictions.labels
    sure = probabilities(rows)
    right = rows.argmax(1) == labels
    own = rows[np.arange(len(labels)), labels]
    confidence = sure.max(1)
    return Looked(
        loss=float(label_losses(rows, labels).mean()),
        top1=float(right.mean()),
        top5=float(((rows > own[:, None]).sum(1) < TOP).mean()),
        ece=calibration_error(confidence, right, equal_width(confidence)),
    )
