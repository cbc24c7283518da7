"""A model beside the one that it was made of, on the same pictures: what changed, and is it chance?

``compare`` has the difference in top-1 with its tests; here are what else may have moved: how honest the
probabilities are, which classes are taken for which, and how far the logits themselves are apart.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from optimize.judging.comparison import Comparison, compare, in_order_of
from optimize.judging.judge import reliability_of
from optimize.judging.judgement import Figure
from optimize.judging.predictions import Predictions
from optimize.judging.probabilities import labelled

CONFUSIONS = 12
FLIPS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Honesty:
    """Of one model's probabilities; ``ece_of_perfect``: what chance alone would show on so many pictures."""

    ece: Figure
    ece_of_perfect: float
    log_loss: Figure


@dataclass(frozen=True, slots=True)
class ConfusionChange:
    """Pictures of class ``label`` that are taken for ``predicted``: how many by the other model, how many by this."""

    label: str
    predicted: str
    other: int
    this: int


@dataclass(frozen=True, slots=True)
class Flip:
    """A picture with another answer, by the names of classes."""

    identifier: str
    label: str
    other: str
    this: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """``comparison`` has the other facts; ``confusions``, those that changed most first, has mistakes alone.

    Attributes:
        flipped: pictures with another answer; ``flips``: some of them, those that were right before first.
        logits: the largest difference between two logits, and the largest logit of the other model.
    """

    comparison: Comparison
    honesty: Honesty
    other_honesty: Honesty
    confusions: tuple[ConfusionChange, ...]
    flipped: int
    flips: tuple[Flip, ...]
    logits: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        """What ``json.dumps`` takes; fractions."""
        content: dict[str, Any] = TypeAdapter(Beside).dump_python(self, mode="json")
        return {**content, "comparison": self.comparison.to_json()}


def beside(
    this: Predictions, other: Predictions, *, seed: int, names: tuple[str, str] = ("this model", "the other")
) -> Beside:
    """Judge two models by the pictures they share; classes are matched by name.

    Args:
        seed: of the bootstraps.
    Raises:
        DataError: not the same pictures, labels or classes.
    """
    found = compare(this, other, seed=seed, names=names)
    this = labelled(this)
    other = in_order_of(this, labelled(other))
    return Beside(
        comparison=found,
        honesty=_honesty(this, seed),
        other_honesty=_honesty(other, seed),
        confusions=_changes(this, other),
        flipped=len(flipped := _flipped(this, other)),
        flips=tuple(flipped[:FLIPS]),
        logits=(float(np.abs(this.logits - other.logits).max()), float(np.abs(other.logits).max())),
    )


def _honesty(predictions: Predictions, seed: int) -> Honesty:
    found = reliability_of(predictions, seed=seed)
    return Honesty(ece=found.ece, ece_of_perfect=found.ece_of_perfect, log_loss=found.log_loss)


def _changes(this: Predictions, other: Predictions) -> tuple[ConfusionChange, ...]:
    now, before = _mistakes(this), _mistakes(other)
    moved = sorted(
        (cell for cell in now | before if now[cell] != before[cell]),
        key=lambda cell: (-abs(now[cell] - before[cell]), cell),
    )
    names = this.classes
    return tuple(
        ConfusionChange(names[label], names[predicted], before[label, predicted], now[label, predicted])
        for label, predicted in moved[:CONFUSIONS]
    )


def _flipped(this: Predictions, other: Predictions) -> list[Flip]:
    now, before, names = this.logits.argmax(axis=1), other.logits.argmax(axis=1), this.classes
    places = np.flatnonzero(now != before)
    ordered = places[np.argsort(before[places] != this.labels[places], kind="stable")].tolist()
    return [
        Flip(this.identifiers[place], names[this.labels[place]], names[before[place]], names[now[place]])
        for place in ordered
    ]


def _mistakes(predictions: Predictions) -> "Counter[tuple[int, int]]":
    answers = zip(predictions.labels.tolist(), predictions.logits.argmax(axis=1).tolist(), strict=True)
    return Counter((label, said) for label, said in answers if label != said)
