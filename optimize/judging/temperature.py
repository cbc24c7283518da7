"""Temperature scaling (Guo, Pleiss, Sun and Weinberger, 2017): one number makes a network's probabilities honest.

Networks are trained until they are surer than they are right. Dividing all logits by
one temperature changes no order, so no answer, and usually brings the mean probability of
the best class near the share that is right. It is fitted on pictures that were not trained
on, by the least mean negative log likelihood, which has one minimum in 1/T.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from optimize.errors import DataError
from optimize.judging.predictions import Predictions
from optimize.judging.probabilities import label_losses, labelled

# Beyond these a network is either always right or no better than chance, and the minimum lies at infinity.
COLDEST, HOTTEST = 0.05, 20.0
FOLDS = 5


def fit_temperature(predictions: Predictions) -> float:
    """The temperature with the least negative log likelihood, within 0.05 to 20; above 1: the network is too sure.

    Raises:
        DataError: no labelled picture, or logits that are not finite.
    """
    known = labelled(predictions)
    return least_loss_temperature(known.logits.astype(np.float64), known.labels)


def least_loss_temperature(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """As ``fit_temperature``, of bare arrays (N, classes) and (N,)."""
    if not len(labels):
        raise DataError("a temperature needs at least one labelled picture")
    # In ln T the loss has one minimum still, and steps are in proportion.
    found = minimize_scalar(
        lambda log_t: float(label_losses(logits / np.exp(log_t), labels).mean()),
        bounds=(np.log(COLDEST), np.log(HOTTEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))


def cross_fitted(
    logits: NDArray[np.float64], labels: NDArray[np.int64], generator: np.random.Generator
) -> NDArray[np.float64]:
    """(N,): for each picture, the temperature fitted on the four fifths that it is not in; 1 with under 10 pictures."""
    n = len(labels)
    if n < 2 * FOLDS:
        return np.ones(n)
    fold = generator.permutation(n) % FOLDS
    temperatures = np.empty(n)
    for number in range(FOLDS):
        rest = fold != number
        temperatures[~rest] = least_loss_temperature(logits[rest], labels[rest])
    return temperatures
