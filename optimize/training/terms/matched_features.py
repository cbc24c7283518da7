"""Pairs of layers, one of the student and one of the teacher, whose feature maps a term compares."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from optimize.errors import RecipeError, TrainingError
from optimize.training.step import StepView, TermContext
from optimize.training.terms.distillation import seen_by_teacher, teacher_of
from optimize.training.terms.layers import like_maps, output_shapes, pick_layer, stage_ends

# A recipe holds a list.
Layers = Annotated[tuple[str, ...], Field(strict=False)]


@dataclass(frozen=True, slots=True)
class Pair:
    """Module names and channels of two layers."""

    student: str
    teacher: str
    student_channels: int
    teacher_channels: int


def match_layers(
    context: TermContext, term: str, student: Sequence[str], teacher: Sequence[str], default: Sequence[str]
) -> tuple[Pair, ...]:
    """Find the layers in both networks, and tap the teacher's.

    Args:
        student: names or "stage:N"; empty for ``default``, as far as both networks have these stages.
        teacher: likewise.
    Raises:
        RecipeError: no teacher, one without layers, lists of other lengths, or a layer that is not there.
    """
    master = teacher_of(context, term)
    ours = output_shapes(context.student, lambda: context.student(context.example))
    theirs = output_shapes(master.network, lambda: master(torch.zeros_like(context.example)))
    usual = default[-min(len(default), len(stage_ends(ours)), len(stage_ends(theirs))) :]
    names = [pick_layer(name, ours, "student") for name in student or usual]
    others = [pick_layer(name, theirs, "teacher") for name in teacher or usual]
    if len(names) != len(others):
        raise RecipeError(
            f"{term!r} compares layers one by one, and there are {len(names)} of the student and {len(others)} of the "
            "teacher"
        )
    master.tap(others)
    return tuple(Pair(s, t, ours[s][1], theirs[t][1]) for s, t in zip(names, others, strict=True))


def maps_of(step: StepView, pair: Pair, term: str) -> tuple[Tensor, Tensor]:
    """Student's and teacher's maps (N, C, H, W), float32, of whatever sizes; the teacher's on the student's device."""
    try:
        ours = step.student.features[pair.student]
        theirs = seen_by_teacher(step, term).features[pair.teacher]
    except KeyError as error:
        raise TrainingError(f"the term {term!r} got a step without the features of {error}") from error
    return like_maps(ours), like_maps(theirs).to(ours.device)


def to_common_size(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Average the larger maps (N, C, H, W) down to the smaller, each way by itself."""
    height = min(first.shape[2], second.shape[2])
    width = min(first.shape[3], second.shape[3])
    return adaptive_avg_pool2d(first, (height, width)), adaptive_avg_pool2d(second, (height, width))
