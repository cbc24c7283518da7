"""A bundle's own graph as teacher, run by a serving engine: any bundle will do, quantised ones too."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from model_zoo.bundle import Bundle
from optimize.errors import CheckpointError, MissingLibraryError, TrainingError
from optimize.training.teacher.fit_pictures import fit_pictures
from optimize.training.teacher.teacher import Teacher
from server.backends import Backend, BackendOptions
from server.backends.batches import batch_limit
from server.backends.errors import BackendError, BackendUnavailableError
from server.backends.selection import open_backend

# Below it a probability counts as this: a score of 0 has no logarithm.
LEAST_SCORE = 1e-12


class GraphTeacher(Teacher):
    """Pictures are rounded to bytes, as the graph takes them; there are logits and no feature maps."""

    def __init__(self, bundle: Bundle, options: BackendOptions, *, said: str, classes: Sequence[str]) -> None:
        """
        Args:
            options: ``max_batch_size`` pictures go into the graph at once.
        Raises:
            MissingLibraryError: no engine for it is installed.
            CheckpointError: no engine takes it, or none gives the answers it was made with.
        """
        super().__init__(said=said, fingerprint=f"{bundle.fingerprint} graph", own=bundle.labels, classes=classes)
        self.spec = bundle.spec.input
        self._is_scores = bundle.spec.outputs[0].kind == "scores"
        self._limit = batch_limit(self.spec, options.max_batch_size)
        self._backend = _open(bundle, options, said)
        self.eval()

    def look(self, pictures: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """See ``Teacher.look``."""
        fitted = fit_pictures(pictures, self.spec).mul(255).round().to(torch.uint8)
        batch = np.ascontiguousarray(fitted.permute(0, 2, 3, 1).cpu().numpy())
        try:
            rows = [self._backend.run(part)[0] for part in _portions(batch, self._limit)]
        except BackendError as error:
            raise TrainingError(f"the teacher {self.said}: {error}") from error
        outputs = torch.from_numpy(np.concatenate(rows)).to(pictures.device)
        return outputs.clamp_min(LEAST_SCORE).log() if self._is_scores else outputs, {}

    def tap(self, names: Iterable[str]) -> None:
        """Raises: RecipeError: a graph shows no layers."""
        if list(names):
            _ = self.network

    def close(self) -> None:
        """See ``Teacher.close``."""
        self._backend.close()


def _portions(batch: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", limit: int) -> list["np.ndarray"]:
    return [batch[start : start + limit] for start in range(0, len(batch), limit)]


def _open(bundle: Bundle, options: BackendOptions, said: str) -> Backend:
    try:
        return open_backend(bundle, options).backend
    except BackendUnavailableError as error:
        raise MissingLibraryError(f"the teacher {said}: {error}") from error
    except BackendError as error:
        raise CheckpointError(f"the teacher {said}: {error}") from error
