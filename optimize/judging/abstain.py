"""Below which score an answer becomes "unknown": a threshold on the best class's score, chosen by held-out pictures.

A user asks for one of two things, each a share of pictures drawn like those that chose:

- ``max_unknown``: at most this share is answered unknown. No labels are needed. The threshold is one of the scores
  that were seen, in their order; how much of the distribution lies below the m-th smallest of n scores does not depend
  on the model (Wilks, 1941), so m is the largest for which the share below is within the limit with 95 % confidence.
- ``max_error``: of the answers given, at most this share is wrong (the "selective risk" of Geifman and El-Yaniv, 2017).
  Pictures are taken by score, the surest first, in twentieths of them all: as long as an exact binomial test at 5 %
  says that the surest k are wrong less often than the limit, k grows. As the order of the tests is fixed and the first
  that fails ends them, one test's level holds for all (fixed sequence testing: Maurer, Hothorn and Lehmacher, 1995;
  for thresholds: Angelopoulos and others, "Learn then test", 2021). The next score below is the threshold.

Both promises hold in 95 of 100 choices of the pictures, over all pictures together, not for each class, and only for
pictures like those that chose: nothing is promised of pictures that show none of the classes. These
often score low and become unknown, but how many do must be counted on such pictures.
"""

from dataclasses import dataclass
from math import ceil, log
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from model_zoo.manifest import Abstain
from model_zoo.spec import Activation
from model_zoo.top_k import activate
from optimize.errors import DataError
from optimize.judging.agreement import Share
from optimize.judging.predictions import Predictions
from optimize.judging.probabilities import labelled
from optimize.seeding import numpy_generator

Promise = Literal["max_error", "max_unknown"]
CONFIDENCE = 0.95
STEPS = 20

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a user asks for; ``limit`` is a fraction in (0, 1)."""

    promise: Promise
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Abstained:
    """What a threshold does on some pictures: ``answered`` of ``n``, and how many of these are wrong, with Wilson's.

    ``error`` and ``error_ci95`` are None where none is answered.
    """

    threshold: float
    n: int
    answered: float
    error: float | None
    error_ci95: tuple[float, float] | None

    @property
    def says(self) -> str:
        """One sentence for people, without its stop."""
        told = f"unknown below a score of {self.threshold:.4f}: {100 * self.answered:.1f} % of the pictures answered"
        if self.error is None or self.error_ci95 is None:
            return told
        low, high = self.error_ci95
        return f"{told}, of these {100 * self.error:.1f} % wrong (95 % interval {100 * low:.1f} to {100 * high:.1f})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Pictures whose best class scores below ``value`` are unknown; 0: none is.

    Attributes:
        n: pictures that it was chosen by.
        answered: share of them that is not unknown.
        error: share of the answered that is wrong; None without labels, or where none is answered.
    """

    value: float
    promise: Promise
    limit: float
    n: int
    answered: float
    error: float | None

    def in_manifest(self, dataset: str) -> Abstain:
        """As a bundle holds it; ``dataset`` names the pictures."""
        return Abstain(
            threshold=self.value,
            promise=self.promise,
            limit=self.limit,
            confidence=CONFIDENCE,
            dataset=dataset,
            n=self.n,
            answered=self.answered,
            error=self.error,
        )

    @property
    def says(self) -> str:
        """One sentence for people, without its stop."""
        wrong = "" if self.error is None else f", of these {100 * self.error:.1f} % wrong"
        counted = f"{100 * self.answered:.1f} % of {self.n:,} pictures are answered{wrong}"
        kept = "of the answers given are wrong" if self.promise == "max_error" else "of the pictures are unknown"
        return (
            f"unknown below a score of {self.value:.4f}: {counted}; on pictures like these at most "
            f"{100 * self.limit:g} % {kept}, with {100 * CONFIDENCE:.0f} % confidence"
        )


def best_scores(predictions: Predictions, activation: Activation) -> Scores:
    """(N,): the best class's score, as the server computes it.

    Raises:
        DataError: the model gives no scores between 0 and 1, or an answer is not a number.
    """
    if activation == "none":
        raise DataError("the model's outputs are no scores between 0 and 1 (activation none), so none can be too low")
    scores: Scores = activate(predictions.logits, activation).max(axis=1)
    if not np.isfinite(scores).all():
        raise DataError("some of the model's answers are not numbers: its weights or its input are broken")
    return scores


def abstained(predictions: Predictions, activation: Activation, threshold: float) -> Abstained:
    """What ``threshold`` does on labelled pictures.

    Raises:
        DataError: no labelled picture, or no scores to judge by.
    """
    known = labelled(predictions)
    answered = best_scores(known, activation) >= threshold
    wrong = int((known.logits.argmax(axis=1) != known.labels)[answered].sum())
    share = Share(wrong, int(answered.sum())) if answered.any() else None
    return Abstained(
        threshold=threshold,
        n=len(known),
        answered=float(answered.mean()),
        error=share.value if share else None,
        error_ci95=share.ci95 if share else None,
    )


def choose(predictions: Predictions, activation: Activation, wanted: Wanted, *, seed: int) -> Threshold:
    """The lowest threshold that keeps what is wanted.

    Args:
        predictions: of pictures that were not trained on; for ``max_error`` those without a label are left out.
        seed: decides the order of equal scores.
    Raises:
        DataError: too few pictures to promise it, no threshold keeps it, no labels, or no scores to judge by.
    """
    known = predictions.labels >= 0
    if wanted.promise == "max_error" and not known.all():
        predictions = predictions.chosen(np.flatnonzero(known))
    scores = best_scores(predictions, activation)
    right = predictions.logits.argmax(axis=1) == predictions.labels
    if wanted.promise == "max_unknown":
        value = _at_most_unknown(scores, wanted.limit)
    else:
        value = _at_most_wrong(scores, right, wanted.limit, numpy_generator(seed, "abstain"))
    answered = scores >= value
    has_error = bool(known.all() or wanted.promise == "max_error") and bool(answered.any())
    return Threshold(
        value=value,
        promise=wanted.promise,
        limit=wanted.limit,
        n=len(scores),
        answered=float(answered.mean()),
        error=float((~right[answered]).mean()) if has_error else None,
    )


def fewest(limit: float) -> int:
    """How many pictures the least promise takes: so many without one against it are 5 % likely at the limit."""
    return ceil(log(1 - CONFIDENCE) / log(1 - limit))


def _at_most_unknown(scores: Scores, limit: float) -> float:
    n = len(scores)
    if n < fewest(limit):
        raise DataError(
            f"{n} pictures can't say which scores at most {100 * limit:g} % of pictures lie below; {fewest(limit)} are "
            "the least"
        )
    places = np.arange(1, n + 1)
    # P(the share below the m-th smallest score ≤ limit) = P(Binomial(n, limit) ≥ m)
    m = int(places[binom.sf(places - 1, n, limit) >= CONFIDENCE][-1])
    return float(np.sort(scores)[m - 1])


def _at_most_wrong(scores: Scores, right: NDArray[np.bool_], limit: float, generator: np.random.Generator) -> float:
    n = len(scores)
    if n < fewest(limit):
        raise DataError(
            f"{n} labelled pictures can't promise that at most {100 * limit:g} % of answers are wrong; {fewest(limit)} "
            "are the least"
        )
    order = np.lexsort((generator.random(n), -scores))
    sorted_scores, wrong = scores[order], np.cumsum(~right[order])
    steps = sorted({ceil(n * step / STEPS) for step in range(1, STEPS + 1)})
    value: float | None = None
    for k in (step for step in steps if step >= fewest(limit)):
        if binom.cdf(wrong[k - 1], k, limit) > 1 - CONFIDENCE:
            break
        if k == n:
            value = 0.0
        elif sorted_scores[k - 1] > sorted_scores[k]:  # equal scores are answered all, or none
            value = float(np.nextafter(sorted_scores[k], np.float32(np.inf)))
    if value is None:
        share = wrong[-1] / n
        raise DataError(
            f"no threshold promises that at most {100 * limit:g} % of answers are wrong: of all {n} pictures "
            f"{100 * share:.1f} % are, and of the surest still too many; allow more, or give more pictures"
        )
    return value
