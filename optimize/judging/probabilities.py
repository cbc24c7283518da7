"""Logits to probabilities and losses, in float64."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from optimize.errors import DataError
from optimize.judging.predictions import Predictions

Rows = NDArray[np.float64]


def labelled(predictions: Predictions) -> Predictions:
    """The pictures that have a label, checked.

    Raises:
        DataError: there is none, a label is no class, or a logit is not a number.
    """
    known = predictions.labels >= 0
    if not known.any():
        raise DataError("none of the pictures has a label, so there is nothing to judge by")
    if int(predictions.labels.max()) >= len(predictions.classes):
        raise DataError(
            f"label {int(predictions.labels.max())} is beyond the {len(predictions.classes)} classes of the predictions"
        )
    bad = np.flatnonzero(~np.isfinite(predictions.logits).all(axis=1))
    if len(bad):
        raise DataError(
            f"the model's answer to {predictions.identifiers[int(bad[0])]} is not a number "
            f"({len(bad)} of {len(predictions)} pictures): its weights or its input are broken"
        )
    return predictions if known.all() else predictions.chosen(np.flatnonzero(known))


def probabilities(logits: Rows) -> Rows:
    """Softmax by row, (N, classes)."""
    rows: Rows = softmax(logits, axis=1)
    return rows


def label_losses(logits: Rows, labels: NDArray[np.int64]) -> Rows:
    """−ln of the label's probability, (N,), exact where that probability is too small for a float."""
    losses: Rows = -log_softmax(logits, axis=1)[np.arange(len(labels)), labels]
    return losses


def brier_scores(rows: Rows, labels: NDArray[np.int64]) -> Rows:
    """Brier's score (1950) of each picture, 0 to 2: the squared distance of its probabilities from the truth, (N,)."""
    truth = rows[np.arange(len(labels)), labels]
    scores: Rows = (rows**2).sum(axis=1) - 2 * truth + 1
    return scores
