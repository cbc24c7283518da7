"""Calibration: when the model says 0.8, is it right eight times in ten?

Expected calibration error (Naeini, Cooper and Hauskrecht, 2015; Guo and others, 2017):
pictures go into bins by the probability of their best class; in each bin the mean of that
probability and the share that is right are compared, weighted by its pictures. Equal-width
bins are what is usually published; a good network crowds the last of them, so bins of
equally many pictures are computed too (Nguyen and O'Connor, 2015).

Both are biased upwards with few pictures: ``error_of_perfect`` says what a perfectly calibrated
model would show (Bröcker and Smith, 2007). A resampled set has that bias once more, so that the
usual percentiles may lie wholly above the figure itself; ``interval_of_error`` takes the excess off.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from optimize.judging.bootstrap import Statistic, Weights, interval
from optimize.judging.judgement import Bin, Interval

Values = NDArray[np.float64]
Places = NDArray[np.int64]
BINS = 15


def equal_width(confidence: Values, bins: int = BINS) -> Places:
    """The bin of each picture, (N,): bin b holds (b/bins, (b+1)/bins]."""
    places: Places = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return places


def equal_mass(confidence: Values, bins: int = BINS) -> Places:
    """The bin of each picture, (N,), equally many in each; equal confidences share the lowest of their bins."""
    n = len(confidence)
    ordered = np.sort(confidence)
    first = np.searchsorted(ordered, confidence, side="left")
    places: Places = (first * min(bins, n) // n).astype(np.int64)
    return places


def calibration_error(confidence: Values, right: NDArray[np.bool_], places: Places) -> float:
    """Σ over bins of n_bin/n · |accuracy − confidence|: a fraction, 0 to 1."""
    gaps = np.bincount(places, weights=right - confidence)
    return float(np.abs(gaps).sum() / len(confidence))


def resampled_error(confidence: Values, right: NDArray[np.bool_], places: Places) -> Statistic:
    """``calibration_error`` of weighted pictures, bins as they are: (rounds, 1)."""
    n = len(confidence)
    gaps = csr_array((right - confidence, (np.arange(n), places)), shape=(n, int(places.max()) + 1))

    def statistic(weights: Weights) -> NDArray[np.float64]:
        errors: Values = np.abs(weights @ gaps).sum(axis=1, keepdims=True) / weights.sum(axis=1, keepdims=True)
        return errors

    return statistic


def interval_of_error(error: float, drawn: Values) -> Interval | None:
    """Percentiles of the resampled errors, moved so that their mean is the error; not below 0."""
    found = interval(drawn - (drawn.mean() - error))
    return None if found is None else (max(0.0, found[0]), max(0.0, found[1]))


def error_of_perfect(confidence: Values, places: Places, generator: np.random.Generator, rounds: int = 200) -> float:
    """The mean error of a model that is right as often as it is sure, on as many pictures with these confidences."""
    simulated = (generator.random(len(confidence)) < confidence for _ in range(rounds))
    return float(np.mean([calibration_error(confidence, right, places) for right in simulated]))


def diagram(confidence: Values, right: NDArray[np.bool_], bins: int = BINS) -> tuple[Bin, ...]:
    """The bins of equal width that hold a picture."""
    places = equal_width(confidence, bins)
    held = [(place, np.flatnonzero(places == place)) for place in np.unique(places).tolist()]
    return tuple(
        Bin(
            place / bins, (place + 1) / bins, len(inside), float(confidence[inside].mean()), float(right[inside].mean())
        )
        for place, inside in held
    )
