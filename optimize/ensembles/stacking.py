"""Stacking: a logistic regression that has learnt whom to believe, from answers to pictures that none had seen.

The training set is cut into folds, copies of a picture together; each member trains once
without each fold and answers that fold. What a training chooses by (the best epoch, when to
stop, the temperature) are the run's own validation pictures, not the fold. On these
out-of-fold answers (log-probabilities of all members, side by side) the regression is fitted;
then each member trains once more on everything. The regression ends up inside the network
as one linear layer.

Source: Wolpert, "Stacked Generalization", 1992; the probabilities as its input: Ting and Witten, 1999.
"""

from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from model_zoo.architectures.from_members import Stacked
from optimize.choice import Choice
from optimize.data.splits import copy_groups, k_folds
from optimize.ensembles.composite import log_probabilities, made, parts_of
from optimize.ensembles.variants import Count, Variants, values_of
from optimize.ensembles.workshop import Made, Workshop, derived
from optimize.judging.agreement import top_k_hits
from optimize.judging.predictions import Predictions
from optimize.search.options import Value
from optimize.training.run_folder import RunFolder

Rows = NDArray[np.float64]
# A class without any picture to learn from is never answered.
NEVER = -30.0


class Stacking(Choice):
    """Settings.

    Attributes:
        members: how many.
        variants: recipe fields of each member besides its seed, such as other architectures.
        folds: each member trains so many times, and once more.
        c: how little the regression's weights are held back; scikit-learn's ``C``.
    """

    members: Count = 3
    variants: Variants
    folds: Annotated[int, Field(ge=2, le=100)] = 5
    c: Annotated[float, Field(gt=0)] = 1.0

    def make(self, workshop: Workshop) -> Made:
        """See ``EnsembleChoice``."""
        seed = workshop.recipe.seed
        values = [values_of(index, self.variants, seed) for index in range(self.members)]
        answers = [self._out_of_fold(workshop, str(index + 1), own) for index, own in enumerate(values)]
        members = [workshop.train(str(index + 1), own) for index, own in enumerate(values)]
        rows = np.concatenate([log_probabilities(one.logits) for one in answers], axis=1)
        weight, bias = fit_meta(rows, answers[0].labels, len(answers[0].classes), self.c)
        parts = parts_of(members)
        module = Stacked(parts.modules, len(parts.classes))
        with torch.no_grad():
            module.meta.weight.copy_(torch.from_numpy(weight))
            module.meta.bias.copy_(torch.from_numpy(bias))
        return made(module, "stacked", parts, {}, members, facts={"out_of_fold": _figures(answers)})

    def _out_of_fold(self, workshop: Workshop, name: str, values: dict[str, Value]) -> Predictions:
        """A member's answers to the whole training set, each from the training that did not see that picture."""
        train = workshop.data.train
        folds = k_folds(train.first_labels, self.folds, workshop.recipe.seed, groups=copy_groups(train))
        parts, places = [], []
        for number, (inside, outside) in enumerate(folds, 1):
            how = f"without fold {number} of {self.folds}, seed {workshop.recipe.seed}"
            own = derived(workshop.data, train.subset(inside), workshop.data.val, how)
            member = workshop.train(f"{name}-without-{number}", values, own)
            parts.append(workshop.predict(member.network, train.subset(outside)))
            places.append(outside[train.first_labels[outside] >= 0])
        found = in_order(parts, places)
        found.save(RunFolder(workshop.folder).predictions(f"out_of_fold-{name}"))
        return found


def in_order(parts: list[Predictions], places: list[NDArray[np.int64]]) -> Predictions:
    """Answers of folds as one, in the order of the pictures' places."""
    order = np.argsort(np.concatenate(places), kind="stable")
    identifiers = [name for part in parts for name in part.identifiers]
    return Predictions(
        np.concatenate([part.logits for part in parts])[order],
        np.concatenate([part.labels for part in parts])[order],
        parts[0].classes,
        tuple(identifiers[index] for index in order.tolist()),
    )


def fit_meta(rows: Rows, labels: NDArray[np.int64], classes: int, c: float) -> tuple[Rows, Rows]:
    """Multinomial logistic regression, by scikit-learn.

    Args:
        rows: (N, features).
    Returns:
        Weight (classes, features) and bias (classes,) whose softmax is the regression's answer.
    """
    from sklearn.linear_model import LogisticRegression

    known = np.unique(labels)
    weight, bias = np.zeros((classes, rows.shape[1])), np.full(classes, NEVER)
    if len(known) == 1:
        bias[known] = 0.0
        return weight, bias
    fitted = LogisticRegression(C=c, max_iter=5000, tol=1e-6).fit(rows, labels)
    if len(known) == 2:  # one row, for the second class against the first
        weight[known], bias[known] = (
            np.stack([-fitted.coef_[0], fitted.coef_[0]]) / 2,
            [
                -fitted.intercept_[0] / 2,
                fitted.intercept_[0] / 2,
            ],
        )
    else:
        weight[known], bias[known] = fitted.coef_, fitted.intercept_
    return weight, bias


def _figures(answers: list[Predictions]) -> list[dict[str, object]]:
    hits = [top_k_hits(one.logits, one.labels) for one in answers]
    return [{"n": one.n, "top1": one.value, "ci95": list(one.ci95)} for one in hits]
