"""Labels become rows of probabilities: what losses, Mixup and teachers speak."""

from collections.abc import Sequence

import torch
from torch import Tensor

from optimize.data.dataset import Task


class TargetRows:
    """A look-up table for each task: row k is 1 at k, the last row, for ``UNLABELLED`` (−1), is zeros."""

    def __init__(self, tasks: Sequence[Task], device: torch.device) -> None:
        self._tables = [torch.eye(len(task.classes) + 1, len(task.classes), device=device) for task in tasks]

    def __call__(self, labels: Tensor) -> Tensor:
        """int64 (N, tasks) → float32 (N, sum of classes)."""
        rows = [table[labels[:, number]] for number, table in enumerate(self._tables)]
        return rows[0] if len(rows) == 1 else torch.cat(rows, 1)
