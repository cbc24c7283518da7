"""What one step of training shows to everything that has a say in the loss.

The trainer makes a batch, runs the network once, and hands a ``StepView`` to each
``Term`` of the objective; the loss is the weighted sum of what they return. Losses
on labels, distillation from a teacher, penalties on weights and adaptation to
another domain all are terms, so that they combine freely and the loop knows none
of them by name. A term that learns (a projection, a discriminator) is a module:
its parameters train and are saved with the network's.

Targets are rows of probabilities, (N, classes), from the start: label smoothing,
Mixup, CutMix and teachers then need no cases of their own. With several tasks the
rows lie side by side, (N, sum of classes), ``slices`` telling where each begins;
a row of zeros says that the picture has no label for that task.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Draw:
    """For augmentations: where random numbers come from, and the size that the batch must have in the end.

    Numbers are drawn on the CPU and moved, so that a batch is the same on every device; moved with
    ``non_blocking=True``, which for ordinary memory waits until they are read and for nothing else.
    """

    generator: torch.Generator
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What a network made of a batch: logits (N, classes) and the feature maps that were asked for, by module name."""

    logits: Tensor
    features: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """One step.

    Attributes:
        pictures: augmented, float (N, C, H, W) in 0 to 1, before normalisation.
        indices: (N,) int64, places in the training set.
        targets: (N, classes), rows of probabilities after Mixup and its kin; zeros where unlabelled.
        slices: where each task's classes lie in ``logits`` and ``targets``; one slice for one task.
        student: the network in training.
        teacher: present when a term's ``wants_teacher`` is true; no gradient flows into it.
        target_domain: what the student makes of a batch of the unlabelled target folder, when a term wants it.
        network: the student itself.
        progress: 0 at the first step, 1 at the last.
        is_plain: the pictures are not augmented (so that what depends on them alone may be kept).
    """

    pictures: Tensor
    indices: Tensor
    targets: Tensor
    slices: tuple[slice, ...]
    student: Seen
    teacher: Seen | None
    target_domain: Seen | None
    network: nn.Module
    progress: float
    is_plain: bool = False


class Loss(Protocol):
    """Compares logits with targets, picture by picture."""

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(N, classes) and (N, classes) → (N,)."""
        ...


class Term(nn.Module):
    """One summand of the objective. ``forward(step)`` gives a scalar.

    Attributes:
        label: its name in logs.
        student_features: names of the student's modules whose outputs it reads.
        teacher_features: likewise the teacher's.
        wants_teacher: it reads ``step.teacher``.
        wants_target_domain: it reads ``step.target_domain``.
    """

    label: str = "term"
    student_features: tuple[str, ...] = ()
    teacher_features: tuple[str, ...] = ()
    wants_teacher: bool = False
    wants_target_domain: bool = False

    def forward(self, step: StepView) -> Tensor:
        """The term's value, a scalar before its weight."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class TermContext:
    """What a term may need to build itself.

    Attributes:
        student: the network, on its device, head replaced.
        teacher: None where the recipe has none.
        example: a batch of two normalised zero pictures, to measure feature shapes with.
        slices: as in ``StepView``.
        class_weights: (classes,) or None, mean 1 over the training pictures.
        seed: for a term's own initial weights.
    """

    student: nn.Module
    teacher: nn.Module | None
    example: Tensor
    slices: tuple[slice, ...]
    class_weights: Tensor | None
    seed: int


class TermChoice(Protocol):
    """An entry of ``TERMS``: settings that build a term."""

    def build(self, context: TermContext) -> Term:
        """The term.

        Raises:
            RecipeError: it does not fit this network, or there is no teacher.
        """
        ...
