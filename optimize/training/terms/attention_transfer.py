"""Distillation by attention: the student is to look where the teacher looks."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from optimize.choice import Choice
from optimize.training.step import StepView, Term, TermContext
from optimize.training.terms.matched_features import Layers, Pair, maps_of, match_layers, to_common_size


class AttentionTransfer(Choice):
    """Squared distance between attention maps: the mean over the channels of |map|^power, brought to length 1.

    Nothing is learnt for it, and channels need not match. Source: Zagoruyko and Komodakis, "Paying More
    Attention to Attention", 2017.

    Attributes:
        student: layers, by module name or "stage:-1" (see ``terms.layers``); by default the last three stages.
        teacher: as many layers of the teacher.
        power: the paper's 2; more looks at the peaks alone.
    """

    student: Layers = ()
    teacher: Layers = ()
    power: Annotated[float, Field(ge=1, le=8)] = 2.0

    def build(self, context: TermContext) -> Term:
        """See ``TermChoice.build``."""
        usual = ["stage:-3", "stage:-2", "stage:-1"]
        return AttentionTerm(match_layers(context, "attention_transfer", self.student, self.teacher, usual), self.power)


class AttentionTerm(Term):
    """Mean over the pictures and the pairs of layers; each is 0 to 2."""

    label = "attention_transfer"
    wants_teacher = True

    def __init__(self, pairs: tuple[Pair, ...], power: float) -> None:
        super().__init__()
        self.pairs = pairs
        self.power = power
        self.student_features = tuple(pair.student for pair in pairs)
        self.teacher_features = tuple(pair.teacher for pair in pairs)

    def forward(self, step: StepView) -> Tensor:
        """See ``Term.forward``."""
        return torch.stack([self._distance(step, pair) for pair in self.pairs]).mean()

    def _distance(self, step: StepView, pair: Pair) -> Tensor:
        maps = [attention(one, self.power) for one in maps_of(step, pair, self.label)]
        ours, theirs = (normalize(one.flatten(1), dim=1) for one in to_common_size(*maps))
        return (ours - theirs).square().sum(dim=1).mean()


def attention(maps: Tensor, power: float) -> Tensor:
    """(N, C, H, W) → (N, 1, H, W)."""
    return maps.abs().pow(power).mean(dim=1, keepdim=True)
