"""Steps with and without a target domain, made by hand."""

import torch
from torch import Tensor, nn

from optimize.training.step import Seen, StepView, TermContext


def step_of(
    student: Seen,
    target: Seen | None = None,
    *,
    network: nn.Module | None = None,
    targets: Tensor | None = None,
    slices: tuple[slice, ...] | None = None,
    progress: float = 0.5,
) -> StepView:
    """A step that shows these; pictures are blank."""
    n, classes = student.logits.shape
    return StepView(
        pictures=torch.zeros(n, 1, 16, 16),
        indices=torch.arange(n),
        targets=torch.zeros(n, classes) if targets is None else targets,
        slices=slices or (slice(0, classes),),
        student=student,
        teacher=None,
        target_domain=target,
        network=network or nn.Identity(),
        progress=progress,
    )


def context_of(network: nn.Module, *slices: slice) -> TermContext:
    """For the small network of the tests."""
    return TermContext(
        student=network,
        teacher=None,
        example=torch.zeros(2, 1, 16, 16),
        slices=slices or (slice(0, 3),),
        class_weights=None,
        seed=1,
    )
