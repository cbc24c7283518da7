"""What bundles say of the run's pictures, kept, and a candidate's answers beside its parent's."""

from pathlib import Path

from model_zoo.bundle import Bundle
from optimize.candidates.recipe import Budget
from optimize.candidates.result import Paired, Verdict
from optimize.data.dataset import Dataset
from optimize.judging.ask import ask
from optimize.judging.comparison import compare
from optimize.judging.judged_model import BundleModel
from optimize.judging.predictions import Predictions
from optimize.judging.resolution import FEWEST_FOR_EVIDENCE


def answers(bundle: Bundle, dataset: Dataset, path: Path, backend: str | None) -> Predictions:
    """The bundle's logits on its serving engine; those in ``path`` where it was asked before.

    Raises:
        DataError: not one picture can be decoded.
        BackendError: no engine runs the bundle.
    """
    if path.exists():
        return Predictions.load(path)
    model = BundleModel(bundle, backend)
    try:
        found = ask(model, dataset).predictions
    finally:
        model.close()
    found.save(path)
    return found


def paired(candidate: Predictions, parent: Predictions, *, seed: int) -> Paired:
    """A candidate beside its parent.

    Raises:
        DataError: not the same pictures or classes.
    """
    found = compare(candidate, parent, seed=seed)
    low, high = found.ci95
    return Paired(
        n=found.n,
        top1=found.top1.value,
        parent_top1=found.other_top1.value,
        drop=_points(-found.difference),
        ci95=(_points(-high), _points(-low)),
        same_answer=found.same_answer,
        resolves=100 * found.resolves,
        to_settle=found.to_settle,
    )


def _points(share: float) -> float:
    return 100 * share + 0.0  # no -0.0


def verdict(paired: Paired, budget: Budget) -> Verdict:
    """Whether a drop is within the budget: as measured, and not wholly above it; strictly, wholly within."""
    low, high = paired.ci95
    within = paired.drop <= budget.max_drop
    passes = within and (high <= budget.max_drop if budget.strict else low <= budget.max_drop)
    is_evidence = paired.n >= FEWEST_FOR_EVIDENCE
    return Verdict(passes=passes, is_evidence=is_evidence, says=_words(paired, budget, passes), paired=paired)


def drop_words(drop: float) -> str:
    """``loses 0.25 points``."""
    if abs(drop) < 0.005:
        return "loses nothing"
    return f"loses {drop:.2f} points" if drop > 0 else f"wins {-drop:.2f} points"


def _words(paired: Paired, budget: Budget, passes: bool) -> str:
    low, high = paired.ci95
    parts = [
        f"{drop_words(paired.drop)} on {paired.n:,} pictures that nothing else saw (95 % interval {low:.2f} "
        f"to {high:.2f}); {budget.max_drop:g} may be lost: {'within' if passes else 'not within'} the budget"
    ]
    if paired.n < FEWEST_FOR_EVIDENCE:
        parts.append(f"fewer than {FEWEST_FOR_EVIDENCE} pictures are no evidence")
    else:
        parts.append(f"so many pictures show drops of {paired.resolves:.1f} points and more")
        if passes and high > budget.max_drop and paired.to_settle:
            parts.append(f"about {paired.to_settle:,} would settle this one")
    return "; ".join(parts) + "."
