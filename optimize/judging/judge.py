"""Predictions and labels → a judgement: every figure, with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimize.judging.agreement import top_k_hits
from optimize.judging.bootstrap import ROUNDS, Statistic, Weights, bootstrap, interval
from optimize.judging.class_figures import AVERAGES, averages, by_class, cells, most_confused, resampled_averages
from optimize.judging.judgement import Calibration, ClassFigures, Figure, Interval, Judgement, Reliability
from optimize.judging.mistakes import worst_mistakes
from optimize.judging.predictions import Predictions
from optimize.judging.probabilities import brier_scores, label_losses, labelled, probabilities
from optimize.judging.ranking import (
    Areas,
    areas,
    precision_recall_curves,
    resampled_areas,
    roc_curves,
    rounds_within_reason,
)
from optimize.judging.reliability import (
    calibration_error,
    diagram,
    equal_mass,
    equal_width,
    error_of_perfect,
    interval_of_error,
    resampled_error,
)
from optimize.judging.resolution import resolvable_unpaired
from optimize.judging.temperature import cross_fitted, least_loss_temperature
from optimize.seeding import numpy_generator

MISTAKES = 24
CONFUSED = 20
OTHERS, CROSS_FITTED = "other pictures", "these pictures, cross-fitted"

Values = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Draws:
    """How intervals are made."""

    seed: int
    rounds: int
    groups: Labels | None

    def of(self, statistic: Statistic, n: int, rounds: int | None = None) -> Values:
        """(rounds, figures); every statistic sees the same draws."""
        generator = numpy_generator(self.seed, "bootstrap")
        return bootstrap(statistic, n, generator, rounds=rounds or self.rounds, groups=self.groups)

    def intervals(self, statistic: Statistic, n: int, rounds: int | None = None) -> list[Interval | None]:
        """One for each figure of ``statistic``."""
        return [interval(column) for column in self.of(statistic, n, rounds).T]


def judge(
    predictions: Predictions,
    *,
    seed: int,
    temperature: float | None = None,
    stratified: bool = False,
    rounds: int = ROUNDS,
) -> Judgement:
    """All figures of one set of predictions.

    Args:
        predictions: pictures without a label are left out.
        seed: of the bootstrap and of the folds of the temperature.
        temperature: fitted elsewhere (on the validation split, for the test set); None: fitted here, cross-fitted.
        stratified: resample within each class.
        rounds: of the bootstrap.
    Raises:
        DataError: nothing to judge by, or answers that are not numbers.
    """
    known = labelled(predictions)
    logits, labels, classes = known.logits.astype(np.float64), known.labels, len(known.classes)
    rows, losses = probabilities(logits), label_losses(logits, labels)
    predicted = logits.argmax(axis=1)
    draws = _Draws(seed, rounds, labels if stratified else None)
    found, matrix = areas(rows, labels), cells(labels, predicted, classes)
    figures = _shares(known, draws) | _averages(labels, predicted, classes, draws) | _areas(rows, labels, found, draws)
    return Judgement(
        n=len(known),
        seed=seed,
        classes=known.classes,
        figures=figures,
        by_class=_classes(known.classes, labels, predicted, found),
        confusion=tuple((int(row), int(column), int(matrix[row, column])) for row, column in np.argwhere(matrix)),
        roc=roc_curves(rows, labels, known.classes, found),
        precision_recall=precision_recall_curves(rows, labels, known.classes, found),
        calibration=_calibration(logits, labels, temperature, draws),
        mistakes=worst_mistakes(rows, losses, known, np.flatnonzero(predictions.labels >= 0), MISTAKES),
        confused=most_confused(matrix, CONFUSED),
        resolves=resolvable_unpaired(figures["top1"].value, len(known)),
    )


def _shares(known: Predictions, draws: _Draws) -> dict[str, Figure]:
    """top1 and top5; of five classes or fewer top5 is all."""
    hits = {f"top{k}": top_k_hits(known.logits, known.labels, k) for k in (1, 5)}
    best = np.argsort(-known.logits, axis=1, kind="stable")[:, :5] == known.labels[:, None]
    resampled = draws.intervals(_means(best[:, 0], best.any(axis=1)), len(known))
    return {
        name: Figure(share.value, share.ci95, drawn)
        for (name, share), drawn in zip(hits.items(), resampled, strict=True)
    }


def _averages(labels: Labels, predicted: Labels, classes: int, draws: _Draws) -> dict[str, Figure]:
    drawn = draws.intervals(resampled_averages(labels, predicted, classes), len(labels))
    values = averages(labels, predicted, classes)
    return {name: Figure(values[name], one, one) for name, one in zip(AVERAGES, drawn, strict=True)}


def _areas(rows: Values, labels: Labels, found: Areas, draws: _Draws) -> dict[str, Figure]:
    """None at all where every picture is of one class."""
    if not np.isfinite(found.auc).any():
        return {}
    rounds = rounds_within_reason(len(labels), rows.shape[1], draws.rounds)
    drawn = draws.intervals(resampled_areas(rows, labels), len(labels), rounds) if rounds else [None, None]
    values = (float(np.nanmean(found.auc)), float(np.nanmean(found.average_precision)))
    names = ("macro_auc", "macro_average_precision")
    return {name: Figure(value, one, one) for name, value, one in zip(names, values, drawn, strict=True)}


def _classes(names: Sequence[str], labels: Labels, predicted: Labels, found: Areas) -> tuple[ClassFigures, ...]:
    precision, recall, f1 = by_class(labels, predicted, len(names))
    true, given = (np.bincount(one, minlength=len(names)) for one in (labels, predicted))
    return tuple(
        ClassFigures(
            name=name,
            n=int(true[place]),
            predicted=int(given[place]),
            precision=_known(precision[place]),
            recall=_known(recall[place]),
            f1=_known(f1[place]),
            auc=_known(found.auc[place]),
            average_precision=_known(found.average_precision[place]),
        )
        for place, name in enumerate(names)
    )


def _calibration(logits: Values, labels: Labels, temperature: float | None, draws: _Draws) -> Calibration:
    if temperature is None:
        divisor = cross_fitted(logits, labels, numpy_generator(draws.seed, "temperature"))[:, None]
        used, fitted_on = least_loss_temperature(logits, labels), CROSS_FITTED
    else:
        divisor, used, fitted_on = np.full((len(labels), 1), temperature), temperature, OTHERS
    before, after = (_reliability(one, labels, draws) for one in (logits, logits / divisor))
    return Calibration(used, fitted_on, before, after)


def reliability_of(predictions: Predictions, *, seed: int, rounds: int = ROUNDS) -> Reliability:
    """How honest the probabilities of labelled pictures are, as ``judge`` has it.

    Raises:
        DataError: as ``judge``.
    """
    known = labelled(predictions)
    return _reliability(known.logits.astype(np.float64), known.labels, _Draws(seed, rounds, None))


def _reliability(logits: Values, labels: Labels, draws: _Draws) -> Reliability:
    rows = probabilities(logits)
    right, confidence = logits.argmax(axis=1) == labels, rows.max(axis=1)
    bins = (equal_width(confidence), equal_mass(confidence))
    losses = (label_losses(logits, labels), brier_scores(rows, labels))
    errors = [resampled_error(confidence, right, places) for places in bins]
    drawn = draws.of(_side_by_side(*errors, _means(*losses)), len(labels))
    width, mass = (
        Figure(error := calibration_error(confidence, right, places), found := interval_of_error(error, column), found)
        for places, column in zip(bins, drawn.T[:2], strict=True)
    )
    log_loss, brier = (
        Figure(float(each.mean()), found := interval(column), found)
        for each, column in zip(losses, drawn.T[2:], strict=True)
    )
    perfect = error_of_perfect(confidence, bins[0], numpy_generator(draws.seed, "perfect"))
    return Reliability(width, mass, log_loss, brier, perfect, diagram(confidence, right))


def _means(*values: NDArray[np.generic]) -> Statistic:
    """The mean of each of these, one value a picture, over weighted pictures."""
    columns = np.stack([one.astype(np.float64) for one in values], axis=1)

    def statistic(weights: Weights) -> NDArray[np.float64]:
        means: Values = weights @ columns / weights.sum(axis=1, keepdims=True)
        return means

    return statistic


def _side_by_side(*statistics: Statistic) -> Statistic:
    return lambda weights: np.concatenate([one(weights) for one in statistics], axis=1)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
