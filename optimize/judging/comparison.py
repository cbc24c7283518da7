"""Two models on the same pictures: which is better, and is that chance?

Only pictures that one gets right and the other wrong tell the two apart. McNemar's test
(1947) asks whether these split evenly: exactly, by the binomial distribution, which errs
on the side of caution, and by its mid-p version, which does not (Fagerland, Lydersen and
Laake, 2013). The difference's interval is Tango's score interval, which stays honest where
the two hardly disagree; beside it is the bootstrap's over pictures, both models' answers to a
picture kept together, which then is too narrow.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from optimize.errors import DataError
from optimize.judging.agreement import Share
from optimize.judging.bootstrap import ROUNDS, Weights, bootstrap, interval
from optimize.judging.class_columns import columns_of
from optimize.judging.judgement import Figure, Interval
from optimize.judging.paired_interval import tango
from optimize.judging.predictions import Predictions
from optimize.judging.probabilities import labelled
from optimize.judging.resolution import FEWEST_FOR_EVIDENCE, pictures_to_settle, resolvable_paired
from optimize.seeding import numpy_generator

ALPHA = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """This model against another; shares are fractions, ``difference`` is this one's top-1 less the other's.

    Attributes:
        only_this, only_other: pictures that one of the two alone gets right.
        ci95: of ``difference``, Tango's score interval.
        bootstrap95: percentiles 2.5 and 97.5 of ``difference`` over resampled pictures; knows no disagreement that
            was not seen, so that it is (0, 0) where there was none.
        p_exact, p_mid: McNemar's, two-sided.
        resolves: the smallest difference that so many pictures show, four times in five, at this rate of disagreement.
        to_settle: how many pictures would show ``difference``, None where it is 0.
    """

    this: str
    other: str
    n: int
    top1: Figure
    other_top1: Figure
    both_right: int
    only_this: int
    only_other: int
    both_wrong: int
    same_answer: float
    difference: float
    ci95: Interval
    bootstrap95: Interval | None
    p_exact: float
    p_mid: float
    resolves: float
    to_settle: int | None

    @property
    def verdict(self) -> str:
        """One sentence for people."""
        if self.n < FEWEST_FOR_EVIDENCE:
            few = "1 picture is" if self.n == 1 else f"{self.n} pictures are"
            return f"{few} too few to call either the better one; {FEWEST_FOR_EVIDENCE} are the least."
        if self.p_mid >= ALPHA:
            return f"No difference is shown: {self.n} pictures resolve about {100 * self.resolves:.1f} points here" + (
                f"; to settle this one takes about {self.to_settle:,}." if self.to_settle else "."
            )
        better, worse = (self.this, self.other) if self.difference > 0 else (self.other, self.this)
        return f"{better} is better than {worse}, by {100 * abs(self.difference):.1f} points (mid-p {self.p_mid:.2g})."

    def to_json(self) -> dict[str, Any]:
        """What ``json.dumps`` takes."""
        return {**asdict(self), "verdict": self.verdict}


def compare(
    this: Predictions,
    other: Predictions,
    *,
    seed: int,
    names: tuple[str, str] = ("this model", "the other"),
    rounds: int = ROUNDS,
) -> Comparison:
    """Judge two models by the pictures they share; classes are matched by name.

    Args:
        seed, rounds: of the bootstrap.
    Raises:
        DataError: not the same pictures, labels or classes.
    """
    this, other = labelled(this), labelled(other)
    other = in_order_of(this, other)
    labels, n = this.labels, len(this)
    answers = [one.logits.argmax(axis=1) for one in (this, other)]
    right = [answer == labels for answer in answers]
    only_this, only_other = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    both = int((right[0] & right[1]).sum())
    exact, mid = mcnemar(only_this, only_other)
    difference, disagreeing = (only_this - only_other) / n, (only_this + only_other) / n
    drawn = paired_bootstrap(right[0], right[1], seed, rounds)
    return Comparison(
        this=names[0],
        other=names[1],
        n=n,
        top1=_figure(right[0]),
        other_top1=_figure(right[1]),
        both_right=both,
        only_this=only_this,
        only_other=only_other,
        both_wrong=n - both - only_this - only_other,
        same_answer=float((answers[0] == answers[1]).mean()),
        difference=difference,
        ci95=tango(only_this, only_other, n),
        bootstrap95=interval(drawn),
        p_exact=exact,
        p_mid=mid,
        resolves=resolvable_paired(disagreeing, n),
        to_settle=pictures_to_settle(difference, disagreeing),
    )


def mcnemar(only_this: int, only_other: int) -> tuple[float, float]:
    """McNemar's two-sided p-value, exact and mid-p; 1 where the models never disagree."""
    n, fewer = only_this + only_other, min(only_this, only_other)
    if n == 0:
        return 1.0, 1.0
    tail, point = float(binom.cdf(fewer, n, 0.5)), float(binom.pmf(fewer, n, 0.5))
    if only_this == only_other:
        return 1.0, 1.0 - point / 2
    return min(1.0, 2 * tail), 2 * tail - point


def paired_bootstrap(
    this: NDArray[np.bool_], other: NDArray[np.bool_], seed: int, rounds: int = ROUNDS
) -> NDArray[np.float64]:
    """(rounds,): the difference of the shares that are right, over resampled pictures."""
    gains = this.astype(np.float64) - other

    def statistic(weights: Weights) -> NDArray[np.float64]:
        return (weights @ gains / len(gains))[:, None]

    return bootstrap(statistic, len(gains), numpy_generator(seed, "comparison"), rounds=rounds)[:, 0]


def in_order_of(this: Predictions, other: Predictions) -> Predictions:
    """``other`` with the pictures and classes of ``this``, in its order.

    Raises:
        DataError: they are not the same.
    """
    columns = columns_of(this.classes, other.classes)
    if other.identifiers != this.identifiers:
        raise DataError("the two models were not asked about the same pictures in the same order")
    labels = np.argsort(columns)[other.labels]
    if not np.array_equal(labels, this.labels):
        raise DataError("the two sets of predictions do not agree on what the pictures show")
    return Predictions(other.logits[:, columns], labels, this.classes, other.identifiers)


def _figure(right: NDArray[np.bool_]) -> Figure:
    share = Share(int(right.sum()), len(right))
    return Figure(share.value, share.ci95)
