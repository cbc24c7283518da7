"""The pictures that a model gets most wrong."""

import numpy as np
from numpy.typing import NDArray

from optimize.judging.judgement import Mistake
from optimize.judging.predictions import Predictions


def worst_mistakes(
    rows: NDArray[np.float64],
    losses: NDArray[np.float64],
    known: Predictions,
    places: NDArray[np.int64],
    count: int,
) -> tuple[Mistake, ...]:
    """Wrong answers, highest loss first, at most ``count``.

    Args:
        rows: probabilities (N, classes).
        losses: −ln of the label's probability, (N,).
        known: the N pictures.
        places: (N,), where each stands among all pictures, those without a label included.
    """
    labels = known.labels
    predicted = rows.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-losses[wrong], kind="stable")][:count]
    return tuple(
        Mistake(
            int(places[index]),
            known.identifiers[index],
            int(labels[index]),
            int(predicted[index]),
            float(rows[index, predicted[index]]),
            float(rows[index, labels[index]]),
            float(losses[index]),
        )
        for index in worst.tolist()
    )
