"""ROC and precision–recall curves of each class against the rest, their areas, and those of resampled pictures.

Curves and areas are scikit-learn's. The bootstrap needs thousands of areas: pictures are
sorted once by each class's probability, and the areas of all draws come from running sums
of their weights; equal probabilities share one step, as in scikit-learn.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from optimize.judging.bootstrap import ROUNDS, Statistic, Weights
from optimize.judging.judgement import Curve

Labels = NDArray[np.int64]
Rows = NDArray[np.float64]

POINTS = 101
DRAWN_CLASSES = 30
# Draws × pictures × classes that an interval may cost: some seconds.
WORK = 200_000_000
FEWEST_ROUNDS = 200


@dataclass(frozen=True, slots=True)
class Areas:
    """(classes,) each: area under the ROC curve, and average precision; NaN without pictures both of and not of it."""

    auc: Rows
    average_precision: Rows


def areas(rows: Rows, labels: Labels) -> Areas:
    """Of probabilities (N, classes)."""
    classes = rows.shape[1]
    auc, ap = np.full(classes, np.nan), np.full(classes, np.nan)
    for one in ranked_classes(labels, classes):
        is_one = labels == one
        auc[one] = roc_auc_score(is_one, rows[:, one])
        ap[one] = average_precision_score(is_one, rows[:, one])
    return Areas(auc, ap)


def ranked_classes(labels: Labels, classes: int) -> list[int]:
    """Those with pictures of them and pictures not of them."""
    counts = np.bincount(labels, minlength=classes)
    return [int(one) for one in np.flatnonzero((counts > 0) & (counts < len(labels)))]


def rounds_within_reason(n: int, classes: int, rounds: int = ROUNDS) -> int:
    """How many draws the areas' interval may have; 0 where fewer than ``FEWEST_ROUNDS`` would be."""
    possible = min(rounds, WORK // max(1, n * classes))
    return possible if possible >= min(rounds, FEWEST_ROUNDS) else 0


def resampled_areas(rows: Rows, labels: Labels) -> Statistic:
    """Macro AUC and macro average precision of weighted pictures."""
    sorted_classes = [_Sorted.of(rows[:, one], labels == one) for one in ranked_classes(labels, rows.shape[1])]

    def statistic(weights: Weights) -> NDArray[np.float64]:
        each = np.stack([one.areas(weights) for one in sorted_classes])
        known = np.isfinite(each)
        means = np.full(each.shape[1:], np.nan)
        np.divide(np.where(known, each, 0).sum(axis=0), known.sum(axis=0), out=means, where=known.any(axis=0))
        return means

    return statistic


@dataclass(frozen=True, slots=True)
class _Sorted:
    """One class: pictures by falling probability, cut into segments at equal probabilities.

    A segment without pictures of the class may span several probabilities: nothing happens
    inside it. That leaves two segments a picture of the class, a fraction of all pictures.

    Attributes:
        order: (n,) pictures.
        starts: where each segment begins.
        with_hits: the segments that hold pictures of the class.
        hits: those pictures' places in ``order``; ``hit_starts``: where each such segment's begin in it.
    """

    order: Labels
    starts: Labels
    with_hits: Labels
    hits: Labels
    hit_starts: Labels

    @classmethod
    def of(cls, scores: Rows, is_positive: NDArray[np.bool_]) -> "_Sorted":
        order = np.argsort(-scores, kind="stable")
        group = np.concatenate([[0], np.cumsum(np.diff(scores[order]) != 0)])
        has_hits = np.bincount(group, weights=is_positive[order])[group] > 0
        begins = np.ones(len(order), bool)
        begins[1:] = np.where(has_hits[1:] | has_hits[:-1], group[1:] != group[:-1], False)
        starts, hits = np.flatnonzero(begins), np.flatnonzero(is_positive[order])
        segment = (np.cumsum(begins) - 1)[hits]
        with_hits, hit_starts = np.unique(segment, return_index=True)
        return cls(order, starts, with_hits, hits, hit_starts)

    def areas(self, weights: Weights) -> NDArray[np.float64]:
        """(rounds, 2): AUC by trapezoids, average precision by steps."""
        ordered = weights[:, self.order]
        seen = np.add.reduceat(ordered, self.starts, axis=1)
        hits = np.zeros_like(seen)
        hits[:, self.with_hits] = np.add.reduceat(ordered[:, self.hits], self.hit_starts, axis=1)
        false = seen - hits
        all_hits, all_seen = np.cumsum(hits, axis=1), np.cumsum(seen, axis=1)
        of_it, others = all_hits[:, -1], all_seen[:, -1] - all_hits[:, -1]
        auc = (false * (all_hits - hits / 2)).sum(axis=1) / np.maximum(of_it * others, 1)
        average = (hits * all_hits / np.maximum(all_seen, 1)).sum(axis=1) / np.maximum(of_it, 1)
        both = np.stack([auc, average], axis=1)
        return np.where(((of_it > 0) & (others > 0))[:, None], both, np.nan)


def roc_curves(rows: Rows, labels: Labels, names: tuple[str, ...], found: Areas) -> tuple[Curve, ...]:
    """The macro mean and the classes, the smallest areas first; at most ``DRAWN_CLASSES``."""
    grid = np.linspace(0, 1, POINTS)
    mean, drawn = np.zeros(POINTS), []
    ranked = _worst_first(found.auc)
    for place, one in enumerate(ranked):
        false_rate, true_rate, _ = roc_curve(labels == one, rows[:, one])
        # Of the several heights at one false rate, the mean curve takes the highest: that is where the step ends.
        mean += np.interp(grid, *_highest(false_rate, true_rate)) / len(ranked)
        if place < DRAWN_CLASSES:
            drawn.append(_curve(names[one], false_rate, true_rate))
    return (_curve("macro", grid, mean), *drawn) if ranked else ()


def precision_recall_curves(rows: Rows, labels: Labels, names: tuple[str, ...], found: Areas) -> tuple[Curve, ...]:
    """As ``roc_curves``: recall across, precision up."""
    grid = np.linspace(0, 1, POINTS)
    mean, drawn = np.zeros(POINTS), []
    ranked = _worst_first(found.average_precision)
    for place, one in enumerate(ranked):
        precision, recall, _ = precision_recall_curve(labels == one, rows[:, one], drop_intermediate=True)
        # Its last point, (0, 1), is no threshold's: a class whose surest answers are wrong must not begin at 1.
        recall, precision = recall[-2::-1], precision[-2::-1]
        mean += np.interp(grid, *_highest(recall, precision)) / len(ranked)
        if place < DRAWN_CLASSES:
            drawn.append(_curve(names[one], recall, precision))
    return (_curve("macro", grid, mean), *drawn) if ranked else ()


def _worst_first(areas_of: Rows) -> list[int]:
    known = np.flatnonzero(np.isfinite(areas_of))
    return [int(one) for one in known[np.argsort(areas_of[known], kind="stable")]]


def _highest(x: Rows, y: Rows) -> tuple[Rows, Rows]:
    """One y for each distinct x, the largest."""
    distinct, place = np.unique(x, return_inverse=True)
    highest = np.full(len(distinct), -np.inf)
    np.maximum.at(highest, place, y)
    return distinct, highest


def _curve(name: str, x: Rows, y: Rows) -> Curve:
    """At most ``POINTS`` of its points, evenly by their number, the ends kept."""
    kept = np.unique(np.linspace(0, len(x) - 1, min(POINTS, len(x))).round().astype(int))
    return Curve(name, tuple(x[kept].round(5).tolist()), tuple(y[kept].round(5).tolist()))
