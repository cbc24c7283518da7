"""A loss on targets as a summand of the objective."""

from collections.abc import Sequence

import torch
from torch import Tensor

from optimize.training.losses.row_loss import is_labelled
from optimize.training.step import Loss, StepView, Term


class LabelTerm(Term):
    """The mean of a loss over the labelled pictures of a batch; over several tasks, the sum of their means.

    With class weights it is PyTorch's weighted mean, Σ w·loss / Σ w, where a picture's w is
    the weight that its row of probabilities expects: of a Mixup of two classes, what lies between theirs.
    A task of which no picture of the batch has a label gives 0.
    """

    class_weights: Tensor | None

    def __init__(
        self, loss: Loss, slices: Sequence[slice], class_weights: Tensor | None = None, *, label: str = "label"
    ) -> None:
        """
        Args:
            slices: where each task's classes lie in logits and targets.
            class_weights: (classes,) over all slices, or None for equal ones.
            label: the term's name in logs.
        """
        super().__init__()
        self.loss = loss
        self.slices = tuple(slices)
        self.label = label
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, step: StepView) -> Tensor:
        """See ``Term.forward``."""
        return self.value(step.student.logits, step.targets)

    def value(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(N, classes) and (N, classes) over all slices → a scalar."""
        return torch.stack([self.of_task(logits, targets, where) for where in self.slices]).sum()

    def of_task(self, logits: Tensor, targets: Tensor, where: slice) -> Tensor:
        """One task's mean, a scalar; what multi-task terms weigh one by one.

        Args:
            logits: (N, classes) over all slices, as are ``targets``.
            where: the task's slice.
        """
        rows = targets[:, where]
        losses = self.loss(logits[:, where], rows)
        weights = self._row_weights(rows.to(losses.dtype), where)
        shares = weights.sum()
        return (losses * weights).sum() / shares.clamp_min(_TINY)

    def _row_weights(self, rows: Tensor, where: slice) -> Tensor:
        """(N,): 0 where unlabelled, else the expected class weight."""
        labelled = is_labelled(rows).to(rows.dtype)
        if self.class_weights is None:
            return labelled
        expected = (rows * self.class_weights[where].to(rows.dtype)).sum(dim=1)
        return expected / rows.sum(dim=1).clamp_min(_TINY)


_TINY = 1e-12
