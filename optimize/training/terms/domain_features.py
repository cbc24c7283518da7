"""What terms of domain adaptation compare: the same features of a labelled batch and of one from the target folder."""

from torch import Tensor

from optimize.errors import RecipeError
from optimize.training.network.feature_taps import observe, pooled
from optimize.training.step import Seen, StepView, TermContext

LOGITS = "logits"


def tapped(feature: str) -> tuple[str, ...]:
    """The module outputs that are to be taken for ``feature``; none for the logits."""
    return () if feature == LOGITS else (feature,)


def width(feature: str, context: TermContext) -> int:
    """How many numbers describe one picture.

    Raises:
        RecipeError: the network has no such module.
    """
    if feature == LOGITS:
        return sum(part.stop - part.start for part in context.slices)
    seen = observe(context.student, (feature,), context.example)[feature]
    return pooled(seen).shape[1]


def both(feature: str, step: StepView) -> tuple[Tensor, Tensor]:
    """Float32 (n, d) of the source and (m, d) of the target; maps are averaged over their places.

    Raises:
        RecipeError: there is no target folder.
    """
    if step.target_domain is None:
        raise RecipeError("adapting to another domain needs its pictures: set data.target to their folder")
    return _rows(feature, step.student), _rows(feature, step.target_domain)


def _rows(feature: str, seen: Seen) -> Tensor:
    return seen.logits.float() if feature == LOGITS else pooled(seen.features[feature].float())
