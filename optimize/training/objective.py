"""The loss of a step: a weighted sum of terms."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from optimize.training.losses.label_term import LabelTerm
from optimize.training.recipe import Recipe
from optimize.training.step import StepView, Term, TermContext


class Objective(nn.Module):
    """Terms and their weights; the terms' own parameters train with the network's.

    Attributes:
        student_features: modules of the student whose outputs some term reads.
        teacher_features: likewise the teacher's.
    """

    def __init__(self, terms: Sequence[tuple[float, Term]]) -> None:
        super().__init__()
        self.terms = nn.ModuleList(term for _, term in terms)
        self.weights = tuple(weight for weight, _ in terms)
        each = [term for _, term in terms]
        self.student_features = tuple(dict.fromkeys(name for term in each for name in term.student_features))
        self.teacher_features = tuple(dict.fromkeys(name for term in each for name in term.teacher_features))
        self.wants_teacher = any(term.wants_teacher for term in each)
        self.wants_target_domain = any(term.wants_target_domain for term in each)

    def forward(self, step: StepView) -> Tensor:
        """The sum, a scalar in fp32."""
        total = torch.zeros((), device=step.targets.device)
        for weight, term in zip(self.weights, self.terms, strict=True):
            value = term(step).float()
            total = total + (value if weight == 1 else weight * value)
        return total


def build_objective(recipe: Recipe, context: TermContext) -> Objective:
    """The recipe's losses, then its terms.

    Raises:
        RecipeError: a term that does not fit the network, or wants a teacher that is not there.
    """
    losses = [
        (entry.weight, LabelTerm(entry.choice, context.slices, context.class_weights, label=entry.name))
        for entry in recipe.loss
    ]
    terms = [(entry.weight, entry.choice.build(context)) for entry in recipe.term]
    return Objective([*losses, *terms])
