"""Precision, recall and F1, which are scikit-learn's, and the confusion matrix.

Averages are over the classes of which there is a picture. A class that is never
predicted has precision 0 if there are pictures of it, else none.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.metrics import precision_recall_fscore_support

from optimize.judging.bootstrap import Statistic, Weights
from optimize.judging.judgement import Confused

Labels = NDArray[np.int64]
AVERAGES = (
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "weighted_precision",
    "weighted_recall",
    "weighted_f1",
)


def cells(labels: Labels, predicted: Labels, classes: int) -> NDArray[np.int64]:
    """The confusion matrix, (classes, classes): rows are true, columns predicted."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def by_class(labels: Labels, predicted: Labels, classes: int) -> NDArray[np.float64]:
    """Precision, recall and F1 of each class, (3, classes); NaN where its pictures do not give it."""
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=np.arange(classes), zero_division=0.0
    )
    absent = support == 0
    figures = np.array([precision, recall, f1], np.float64)
    figures[1:, absent] = np.nan
    figures[0, absent & (np.bincount(predicted, minlength=classes) == 0)] = np.nan
    return figures


def averages(labels: Labels, predicted: Labels, classes: int) -> dict[str, float]:
    """``AVERAGES`` over the classes that have pictures."""
    present = np.unique(labels)
    found: dict[str, float] = {}
    for average in ("macro", "weighted"):
        values = precision_recall_fscore_support(labels, predicted, labels=present, average=average, zero_division=0.0)
        found |= {f"{average}_{name}": float(values[place]) for place, name in enumerate(("precision", "recall", "f1"))}
    return found


def resampled_averages(labels: Labels, predicted: Labels, classes: int) -> Statistic:
    """``AVERAGES`` of weighted pictures, for the bootstrap; averaged over the classes that a draw has."""
    n, right = len(labels), np.flatnonzero(labels == predicted)
    true = _members(labels, classes)
    given = _members(predicted, classes)
    hits = csr_array((np.ones(len(right)), (right, labels[right])), shape=(n, classes))

    def statistic(weights: Weights) -> NDArray[np.float64]:
        tp, n_true, n_given = weights @ hits, weights @ true, weights @ given
        present = n_true > 0
        precision = np.divide(tp, n_given, out=np.zeros_like(tp), where=n_given > 0)
        recall = np.divide(tp, n_true, out=np.zeros_like(tp), where=present)
        f1 = 2 * tp / np.maximum(n_true + n_given, 1)
        figures = np.stack([precision, recall, f1], axis=1)
        even = present / present.sum(axis=1, keepdims=True)
        by_size = n_true / n_true.sum(axis=1, keepdims=True)
        return np.concatenate([(figures * share[:, None]).sum(axis=2) for share in (even, by_size)], axis=1)

    return statistic


def most_confused(matrix: NDArray[np.int64], count: int) -> tuple[Confused, ...]:
    """The pairs (true, predicted) that happen most; of equals, the larger share of its class."""
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    totals = matrix.sum(axis=1)
    pairs = [
        Confused(
            int(label), int(predicted), int(wrong[label, predicted]), float(wrong[label, predicted] / totals[label])
        )
        for label, predicted in np.argwhere(wrong > 0)
    ]
    return tuple(sorted(pairs, key=lambda one: (-one.count, -one.share, one.label, one.predicted))[:count])


def _members(classes_of: Labels, classes: int) -> csr_array:
    n = len(classes_of)
    return csr_array((np.ones(n), (np.arange(n), classes_of)), shape=(n, classes))
