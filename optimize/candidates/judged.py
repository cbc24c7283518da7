"""What bundles say of the run's pictures, kept, and a candidate's answers beside its parent's."""

from collections.abc import Callable
from pathlib import Path

from model_zoo.bundle import Bundle
from optimize.candidates.recipe import Budget
from optimize.candidates.result import Paired, Verdict
from optimize.data.dataset import Dataset
from optimize.judging.agreement import agreement
from optimize.judging.ask import ask
from optimize.judging.comparison import compare
from optimize.judging.judged_model import BundleModel, JudgedModel
from optimize.judging.predictions import Predictions
from optimize.judging.resolution import FEWEST_FOR_EVIDENCE, pictures_to_settle


def answers(bundle: Bundle, dataset: Dataset, path: Path, backend: str | None) -> Predictions:
    """The bundle's logits on its serving engine; those in ``path`` where it was asked before.

    Raises:
        DataError: not one picture can be decoded.
        BackendError: no engine runs the bundle.
    """
    return answers_of(lambda: BundleModel(bundle, backend), dataset, path)


def answers_of(open_model: Callable[[], JudgedModel], dataset: Dataset, path: Path) -> Predictions:
    """A model's logits, as ``answers``; it is opened only where ``path`` has none."""
    if path.exists():
        return Predictions.load(path)
    model = open_model()
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
    sure = agreement(candidate.logits, parent.logits).sure
    return Paired(
        n=found.n,
        top1=found.top1.value,
        parent_top1=found.other_top1.value,
        drop=_points(-found.difference),
        ci95=_mirrored(found.ci95),
        same_answer=found.same_answer,
        resolves=100 * found.resolves,
        disagreeing=(found.only_this + found.only_other) / found.n,
        top1_ci95=found.top1.ci95 or (0.0, 1.0),
        bootstrap95=None if found.bootstrap95 is None else _mirrored(found.bootstrap95),
        p_mid=found.p_mid,
        sure=sure.n,
        sure_same=sure.hits,
    )


def _points(share: float) -> float:
    """Of a share; 7 of 200 are 3.5, and no hair more, and 0 has no sign."""
    return round(100 * share, 9) + 0.0


def _mirrored(gain: tuple[float, float]) -> tuple[float, float]:
    """An interval of what is gained, a share → of what is lost, points."""
    low, high = gain
    return _points(-high), _points(-low)


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
    strictly = ", also at the interval's bad end" if budget.strict else ""
    parts = [
        f"{drop_words(paired.drop)} on {paired.n:,} pictures that no candidate was made or chosen by "
        f"(95 % interval {low:.2f} to {high:.2f}); {budget.max_drop:g} may be lost{strictly}: "
        f"{'within' if passes else 'not within'} the budget"
    ]
    if paired.n < FEWEST_FOR_EVIDENCE:
        parts.append(f"fewer than {FEWEST_FOR_EVIDENCE} pictures are no evidence")
    else:
        parts.append(f"so many pictures show drops of {paired.resolves:.1f} points and more")
        needed = pictures_to_settle((paired.drop - budget.max_drop) / 100, paired.disagreeing)
        if low <= budget.max_drop < high and needed:
            parts.append(f"whether the budget is kept would take about {needed:,} pictures to settle")
    return "; ".join(parts) + "."
