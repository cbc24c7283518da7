"""Distillation by feature maps: a layer of the student is to hold what a layer of the teacher holds."""

import torch
from torch import Tensor, nn

from optimize.choice import Choice
from optimize.seeding import stream_seed
from optimize.training.step import StepView, Term, TermContext
from optimize.training.terms.matched_features import Layers, Pair, maps_of, match_layers, to_common_size

TINY = 1e-12


class FeatureHint(Choice):
    """FitNets' hint: a learned 1×1 projection of the student's maps is to be the teacher's maps.

    Source: Romero et al., "FitNets: Hints for Thin Deep Nets", 2015. Here it is learnt beside the other terms,
    not in a stage before them. Where maps differ in size, the larger are averaged down.

    Attributes:
        student: layers, by module name or "stage:-2" (see ``terms.layers``); by default the last but one stage.
        teacher: as many layers of the teacher.
        relative: errors count as a share of the teacher's mean square, so that one ``weight`` suits every layer;
            otherwise as they are.
    """

    student: Layers = ()
    teacher: Layers = ()
    relative: bool = True

    def build(self, context: TermContext) -> Term:
        """See ``TermChoice.build``."""
        pairs = match_layers(context, "feature", self.student, self.teacher, ["stage:-2"])
        return FeatureTerm(pairs, self.relative, context)


class FeatureTerm(Term):
    """The mean squared error between projected and wanted maps, mean over the pairs of layers."""

    label = "feature"
    wants_teacher = True

    def __init__(self, pairs: tuple[Pair, ...], relative: bool, context: TermContext) -> None:
        super().__init__()
        self.pairs = pairs
        self.relative = relative
        self.student_features = tuple(pair.student for pair in pairs)
        self.teacher_features = tuple(pair.teacher for pair in pairs)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(context.seed, "feature"))
            projections = [nn.Conv2d(pair.student_channels, pair.teacher_channels, 1) for pair in pairs]
        self.projections = nn.ModuleList(projections).to(context.example.device)

    def forward(self, step: StepView) -> Tensor:
        """See ``Term.forward``."""
        errors = [self._error(step, *pair) for pair in zip(self.pairs, self.projections, strict=True)]
        return torch.stack(errors).mean()

    def _error(self, step: StepView, pair: Pair, projection: nn.Module) -> Tensor:
        ours, theirs = to_common_size(*maps_of(step, pair, self.label))
        error: Tensor = (projection(ours).float() - theirs).square().mean()
        return error / theirs.square().mean().clamp_min(TINY) if self.relative else error
