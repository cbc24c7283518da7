"""Bagging: each member trains on pictures drawn with replacement, and is judged by those it never saw.

Draws are within each class, so that no member lacks one. About 37 % of the pictures
are out of a member's bag; averaged over the members that did not see a picture, their
answers judge the ensemble without taking a picture from training. A picture that is
stored twice is seen when either of its files is in the bag.

Source: Breiman, "Bagging Predictors", 1996, and "Out-of-Bag Estimation", 1996.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from optimize.choice import Choice
from optimize.data.splits import copy_groups
from optimize.ensembles.composite import log_probabilities, mean_of
from optimize.ensembles.variants import Count, Variants, values_of
from optimize.ensembles.workshop import Made, Member, Workshop, derived
from optimize.judging.agreement import top_k_hits
from optimize.judging.predictions import Predictions
from optimize.seeding import numpy_generator
from optimize.training.run_folder import RunFolder

Indices = NDArray[np.int64]


class Bagging(Choice):
    """Settings.

    Attributes:
        members: how many.
        share: size of a bag, of the training set's.
        variants: as for deep ensembles.
    """

    members: Count = 5
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    variants: Variants

    def make(self, workshop: Workshop) -> Made:
        """See ``EnsembleChoice``."""
        data, seed = workshop.data, workshop.recipe.seed
        bags = [draw_bag(data.train.first_labels, self.share, seed, index) for index in range(self.members)]
        members = []
        for index, bag in enumerate(bags):
            own = derived(data, data.train.subset(bag), data.val, f"bag {index} of share {self.share}, seed {seed}")
            members.append(workshop.train(str(index + 1), values_of(index, self.variants, seed), own))
        found = out_of_bag(workshop, members, bags)
        if found is None:
            return mean_of(members, facts={"out_of_bag": None})
        found.save(RunFolder(workshop.folder).predictions("out_of_bag"))
        hits = top_k_hits(found.logits, found.labels)
        return mean_of(members, facts={"out_of_bag": {"n": hits.n, "top1": hits.value, "ci95": list(hits.ci95)}})


def draw_bag(labels: Indices, share: float, seed: int, index: int) -> Indices:
    """Places drawn with replacement within each class, ascending: of each class its share, one at least."""
    draw = numpy_generator(seed, "bag", index)
    drawn = []
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        drawn.append(draw.choice(places, max(1, round(share * len(places)))))
    return np.sort(np.concatenate(drawn))


def out_of_bag(workshop: Workshop, members: Sequence[Member], bags: Sequence[Indices]) -> Predictions | None:
    """For each training picture that a member saw no copy of, the mean answer of those; None where there is none."""
    train = workshop.data.train
    groups = copy_groups(train)
    totals = np.zeros((len(train), len(train.classes)))
    asked = np.zeros(len(train))
    for member, bag in zip(members, bags, strict=True):
        outside = np.flatnonzero((train.first_labels >= 0) & ~np.isin(groups, groups[bag]))
        if len(outside):
            answers = workshop.predict(member.network, train.subset(outside))
            totals[outside] += np.exp(log_probabilities(answers.logits))
            asked[outside] += 1
    known = np.flatnonzero(asked)
    if not len(known):
        return None
    mean = np.log(np.maximum(totals[known] / asked[known, None], 1e-30))
    identifiers = tuple(train.identifier(index) for index in known.tolist())
    return Predictions(mean.astype(np.float32), train.first_labels[known], train.classes, identifiers)
