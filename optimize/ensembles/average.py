"""Networks that are there already, averaged: runs, bundles, stores."""

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from optimize.choice import Choice
from optimize.ensembles.composite import log_probabilities, mean_of
from optimize.ensembles.workshop import Made, Workshop

Rows = NDArray[np.float64]


class Average(Choice):
    """Settings.

    Attributes:
        sources: runs, bundles or stores with one model.
        weights: "equal"; "val": those with the least loss on the validation pictures; or one number each.
    """

    sources: Annotated[list[str], Field(min_length=2, max_length=100)]
    weights: Literal["equal", "val"] | list[Annotated[float, Field(ge=0)]] = "equal"

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        if isinstance(self.weights, list) and (len(self.weights) != len(self.sources) or not any(self.weights)):
            raise ValueError(f"there are {len(self.sources)} sources: as many weights, one of them above 0")
        return self

    def make(self, workshop: Workshop) -> Made:
        """See ``EnsembleChoice``."""
        members = [workshop.open(path) for path in self.sources]
        if self.weights == "equal":
            return mean_of(members)
        if isinstance(self.weights, list):
            return mean_of(members, self.weights)
        answers = [workshop.predict(one.network, workshop.data.val) for one in members]
        rows = np.stack([np.exp(log_probabilities(one.logits)) for one in answers])
        weights = best_weights(rows, answers[0].labels)
        return mean_of(members, weights.tolist(), {"weights": "fitted on the validation pictures"})


def best_weights(probabilities: Rows, labels: NDArray[np.int64]) -> Rows:
    """Weights, none negative and 1 in sum, of the least mean log loss; a convex problem.

    By expectation maximisation, as for the shares of a mixture (Dempster, Laird and Rubin, 1977): each step
    gives a member the share of the pictures that it explains, and no step makes the loss larger.

    Args:
        probabilities: (members, N, classes).
        labels: (N,).
    Returns:
        (members,); exactly 0 below a thousandth.
    """
    likelihood = np.maximum(probabilities[:, np.arange(len(labels)), labels], 1e-12)
    weights = np.full(len(likelihood), 1 / len(likelihood))
    for _ in range(2000):
        explained = weights[:, None] * likelihood
        new = (explained / explained.sum(axis=0)).mean(axis=1)
        if np.abs(new - weights).max() < 1e-9:
            break
        weights = new
    weights = np.where(weights < 1e-3, 0.0, weights)
    result: Rows = weights / weights.sum()
    return result
