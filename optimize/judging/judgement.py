"""What a set of predictions is worth, as plain numbers; ``judge.py`` makes it, the report draws it.

Shares are fractions, 0 to 1. A figure that the pictures can't give, such as the recall of a class
of which there is no picture, is None (null in JSON), and averages leave it out.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from optimize.errors import DataError

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number.

    Attributes:
        ci95: its 95 % interval: Wilson's where it is a share of pictures, else the bootstrap's.
        bootstrap95: percentiles 2.5 and 97.5 over resampled pictures.
    """

    value: float
    ci95: Interval | None = None
    bootstrap95: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFigures:
    """One class against all others; ``n`` pictures have it, ``predicted`` were given it."""

    name: str
    n: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None
    auc: float | None
    average_precision: float | None


@dataclass(frozen=True, slots=True)
class Curve:
    """A line to draw: false against true positive rate, or recall against precision. ``name`` "macro": the mean."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Bin:
    """Pictures whose best class has a probability in (low, high]: how sure the model was, and how often right."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """How honest probabilities are.

    Attributes:
        ece: the expected calibration error over bins of equal width, which are ``bins``.
        ece_mass: over bins of equally many pictures.
        ece_of_perfect: what ``ece`` would be, in the mean, of a perfectly calibrated model on so many pictures.
    """

    ece: Figure
    ece_mass: Figure
    log_loss: Figure
    brier: Figure
    ece_of_perfect: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Before and after dividing the logits by ``temperature``.

    ``fitted_on``: "other pictures" where the temperature was given; "these pictures, cross-fitted" where
    each fifth was divided by the temperature of the other four, so that ``after`` is honest in both.
    """

    temperature: float
    fitted_on: str
    before: Reliability
    after: Reliability


@dataclass(frozen=True, slots=True)
class Mistake:
    """A picture with a wrong answer; ``loss`` is −ln of ``true_probability``.

    Attributes:
        index: its place in the predictions; of an ``Evaluation``, in the data set.
        identifier: for people; two data folders may hold pictures of one name.
    """

    index: int
    identifier: str
    label: int
    predicted: int
    probability: float
    true_probability: float
    loss: float


@dataclass(frozen=True, slots=True)
class Confused:
    """``count`` pictures of class ``label`` were taken for ``predicted``: ``share`` of that class."""

    label: int
    predicted: int
    count: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """All of it.

    Attributes:
        figures: top1, top5, and macro_ and weighted_ precision, recall, f1, auc, average_precision.
        confusion: the cells (true, predicted, count) that are not 0, places in ``classes``.
        roc, precision_recall: "macro" first, then classes; of many classes those that do worst.
        mistakes: highest loss first.
        confused: most frequent first.
        resolves: the smallest difference in top-1 between two models, judged on as many other pictures each,
            that would show (5 % level, 80 % power); paired comparisons resolve more.
    """

    n: int
    seed: int
    classes: tuple[str, ...]
    figures: dict[str, Figure]
    by_class: tuple[ClassFigures, ...]
    confusion: tuple[tuple[int, int, int], ...]
    roc: tuple[Curve, ...]
    precision_recall: tuple[Curve, ...]
    calibration: Calibration
    mistakes: tuple[Mistake, ...]
    confused: tuple[Confused, ...]
    resolves: float

    @property
    def top1(self) -> Figure:
        return self.figures["top1"]

    @property
    def top5(self) -> Figure:
        return self.figures["top5"]

    def confusion_matrix(self) -> NDArray[np.int64]:
        """(classes, classes): rows are true, columns predicted."""
        matrix = np.zeros((len(self.classes), len(self.classes)), np.int64)
        for label, predicted, count in self.confusion:
            matrix[label, predicted] = count
        return matrix

    def to_json(self) -> dict[str, Any]:
        """What ``json.dumps`` takes; no NaN in it."""
        content: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return content

    @classmethod
    def from_json(cls, content: object) -> "Judgement":
        """Read what ``to_json`` gave.

        Raises:
            DataError: it is something else.
        """
        try:
            return _adapter().validate_python(content)
        except ValidationError as error:
            raise DataError(f"not a judgement: {error}") from error


@lru_cache(1)
def _adapter() -> TypeAdapter[Judgement]:
    return TypeAdapter(Judgement)
