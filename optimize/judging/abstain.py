"""Below which score an answer becomes "unknown": a threshold on the best class's score, chosen by held-out pictures.

A user asks for one of two things, each a share of pictures drawn like those that chose:

- ``max_unknown``: at most this share is answered unknown. No labels are needed. The threshold is one of the scores
  that were seen, in their order; how much of the distribution lies below the m-th smallest of n scores does not depend
  on the model (Wilks, 1941), so m is the largest for which the share below is within the limit with 95 % confidence.
- ``max_error``: of the answers given, at most this share is wrong (the "selective risk" of Geifman and El-Yaniv, 2017).
  Pictures are taken by score, the surest first, in twentieths of them all: as long as an exact binomial test says
  that the surest k are wrong less often than the limit, k grows. As the order of the tests is fixed and the first
  that fails ends them, one test's level holds for all (fixed sequence testing: Maurer, Hothorn and Lehmacher, 1995;
  for thresholds: Angelopoulos and others, "Learn then test", 2021). One mistake among few sure pictures would end it
  at once, so there are five such sequences, which begin at five numbers of pictures, each at a level of 1 %. The
  largest k that one of them reaches is taken, and the next score below is the threshold.

Both promises hold in 95 of 100 choices of the pictures, over all pictures together, not for each class, and only for
pictures like those that chose: nothing is promised of pictures that show none of the classes. These
often score low and become unknown, but how many do must be counted on such pictures.
"""

from math import ceil, log, log1p

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from model_zoo.spec import Activation
from model_zoo.top_k import activate
from optimize.errors import DataError
from optimize.judging.agreement import Share
from optimize.judging.predictions import Predictions
from optimize.judging.probabilities import labelled
from optimize.judging.threshold import CONFIDENCE, Abstained, Promise, Threshold, Wanted
from optimize.seeding import numpy_generator

STEPS = 20
STARTS = (0, 5, 10, 15, 20)  # of the steps

Scores = NDArray[np.float32]


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
        value = _at_most_unknown(scores, wanted)
    else:
        value = _at_most_wrong(scores, right, wanted, numpy_generator(seed, "abstain"))
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


def fewest(wanted: Wanted) -> int:
    """How many pictures the promise takes at the least: that none of so many breaks it is unlikely at the limit."""
    return ceil(log(_level(wanted.promise)) / log1p(-wanted.limit))


def _level(promise: Promise) -> float:
    """Of each test."""
    return (1 - CONFIDENCE) / (len(STARTS) if promise == "max_error" else 1)


def _at_most_unknown(scores: Scores, wanted: Wanted) -> float:
    n, limit = len(scores), wanted.limit
    if n < fewest(wanted):
        raise DataError(
            f"{n} pictures can't say which scores at most {100 * limit:g} % of pictures lie below; {fewest(wanted)} "
            "are the least"
        )
    places = np.arange(1, n + 1)
    # P(the share below the m-th smallest score ≤ limit) = P(Binomial(n, limit) ≥ m)
    m = int(places[binom.sf(places - 1, n, limit) >= CONFIDENCE][-1])
    return float(np.sort(scores)[m - 1])


def _at_most_wrong(scores: Scores, right: NDArray[np.bool_], wanted: Wanted, generator: np.random.Generator) -> float:
    n, limit = len(scores), wanted.limit
    if n < fewest(wanted):
        raise DataError(
            f"{n} labelled pictures can't promise that at most {100 * limit:g} % of answers are wrong; "
            f"{fewest(wanted)} are the least"
        )
    order = np.lexsort((generator.random(n), -scores))
    sorted_scores, wrong = scores[order], np.cumsum(~right[order], dtype=np.int64)
    # Equal scores are answered all, or none.
    kept = [k for k in _held(wrong, wanted) if k == n or sorted_scores[k - 1] > sorted_scores[k]]
    if not kept:
        raise DataError(
            f"no threshold found that promises at most {100 * limit:g} % of wrong answers: {int(wrong[-1])} of these "
            f"{n} pictures are answered wrongly, and the scores do not tell well enough which; allow more, or give "
            "more pictures"
        )
    k = max(kept)
    return 0.0 if k == n else float(np.nextafter(sorted_scores[k], np.float32(np.inf)))


def _held(wrong: NDArray[np.int64], wanted: Wanted) -> set[int]:
    """How many of the surest may be answered: all k that one of the sequences of tests reaches."""
    n = len(wrong)
    held: set[int] = set()
    for start in STARTS:
        for k in sorted({max(ceil(n * step / STEPS), fewest(wanted)) for step in range(start, STEPS + 1)}):
            if binom.cdf(wrong[k - 1], k, wanted.limit) > _level("max_error"):
                break
            held.add(k)
    return held
