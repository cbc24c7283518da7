"""The two ways of boosting linear heads, on features alone."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

Rows = NDArray[np.float64]
Labels = NDArray[np.int64]


class Labelled(NamedTuple):
    """Features (N, D) and labels (N,)."""

    features: Rows
    labels: Labels


@dataclass(frozen=True, slots=True)
class Heads:
    """SAMME's heads, one below the other: weight (heads · classes, D), bias (heads · classes,), alphas (heads,)."""

    weight: Rows
    bias: Rows
    alphas: Rows


@dataclass(frozen=True, slots=True)
class OneHead:
    """The sum of gradient boosting's heads: weight (classes, D), bias (classes,); ``val_loss`` after 0, 1, … rounds."""

    weight: Rows
    bias: Rows
    rounds: int
    val_loss: list[float]


@dataclass(frozen=True, slots=True)
class Standard:
    """Features of mean 0 and spread 1, and the way back: a head on these is a head on the features themselves."""

    mean: Rows
    spread: Rows

    @classmethod
    def of(cls, features: Rows) -> "Standard":
        """Fitted on these features, (N, D)."""
        spread = features.std(axis=0)
        return cls(features.mean(axis=0), np.where(spread > 1e-8, spread, 1.0))

    def __call__(self, features: Rows) -> Rows:
        scaled: Rows = (features - self.mean) / self.spread
        return scaled

    def unfold(self, weight: Rows, bias: Rows) -> tuple[Rows, Rows]:
        """A head on scaled features → the same on features."""
        own = weight / self.spread
        return own, bias - own @ self.mean


def samme(train: Labelled, classes: int, rounds: int, rate: float, c: float) -> Heads:
    """Multi-class AdaBoost over logistic regressions, by scikit-learn; ends early where a head makes no mistake."""
    from sklearn.ensemble import AdaBoostClassifier
    from sklearn.linear_model import LogisticRegression

    standard = Standard.of(train.features)
    single = LogisticRegression(C=c, max_iter=2000)
    boosted = AdaBoostClassifier(single, n_estimators=rounds, learning_rate=rate, random_state=0)
    boosted.fit(standard(train.features), train.labels)
    found = [
        standard.unfold(*_rows(one.coef_, one.intercept_, boosted.classes_, classes)) for one in boosted.estimators_
    ]
    alphas = np.asarray(boosted.estimator_weights_[: len(found)], np.float64)
    return Heads(np.concatenate([w for w, _ in found]), np.concatenate([b for _, b in found]), alphas)


def gradient(train: Labelled, val: Labelled, classes: int, rounds: int, rate: float, ridge: float) -> OneHead:
    """Multinomial gradient boosting over ridge regressions.

    It begins at the classes' shares. Each round fits (truth − probabilities) by least squares; the number of
    rounds is that of the least validation loss.
    """
    from sklearn.linear_model import Ridge

    standard = Standard.of(train.features)
    x, truth = standard(train.features), np.eye(classes)[train.labels]
    weight = np.zeros((classes, x.shape[1]))
    bias = np.log((truth.sum(axis=0) + 0.5) / (len(truth) + 0.5 * classes))
    steps, losses = [(weight.copy(), bias.copy())], [_loss(standard(val.features) @ weight.T + bias, val.labels)]
    for _ in range(rounds):
        lack = truth - softmax(x @ weight.T + bias, axis=1)
        fitted = Ridge(alpha=ridge * len(x) + 1e-9).fit(x, lack)
        weight, bias = weight + rate * fitted.coef_, bias + rate * fitted.intercept_
        steps.append((weight, bias))
        losses.append(_loss(standard(val.features) @ weight.T + bias, val.labels))
    best = int(np.argmin(losses))
    return OneHead(*standard.unfold(*steps[best]), best, losses)


def _loss(logits: Rows, labels: Labels) -> float:
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def _rows(weight: Rows, bias: Rows, known: Labels, classes: int) -> tuple[Rows, Rows]:
    """A row for each class: scikit-learn gives one row for two classes, and none for a class without pictures."""
    full, offsets = np.zeros((classes, weight.shape[1])), np.full(classes, -1e4)
    if len(known) == 2:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    full[known], offsets[known] = weight, bias
    return full, offsets
