"""Where ensembles are made: members are trained or opened here, and put together."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from optimize.data.checks import counts
from optimize.data.dataset import Dataset
from optimize.data.read import Data
from optimize.ensembles.class_order import in_class_order
from optimize.judging.predictions import Predictions
from optimize.search.options import Value
from optimize.search.space import configured, single
from optimize.training.compound_run import Tools, without_test
from optimize.training.network.network import Network
from optimize.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Member:
    """A trained network, its classes in the order of the data's.

    ``name`` is what people call it: a folder below the run's ``members``, or a path.
    """

    name: str
    network: Network


@dataclass(frozen=True, slots=True)
class Made:
    """What an entry of ``ENSEMBLES`` made.

    Attributes:
        network: one network that answers for all; its architecture builds it again.
        set_temperature: divides the network's logits by a number, in place.
        members: what it is made of; judged beside it.
        weights: of each member in the answer, where they have such.
        facts: what else was found, for ``ensemble.json`` and the card.
    """

    network: Network
    set_temperature: Callable[[float], None]
    members: tuple[Member, ...]
    weights: tuple[float, ...] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Workshop:
    """What a run of an ensemble has at hand; ``folder`` is the run's."""

    recipe: Recipe
    folder: Path
    tools: Tools
    data: Data

    def train(self, name: str, values: Mapping[str, Value], data: Data | None = None) -> Member:
        """Train a member, or go on with it, in ``members/NAME``.

        Args:
            values: fields of the recipe that are this member's own, by dotted path.
            data: instead of the run's.
        """
        folder = self.folder / "members" / name
        finished = self.tools.train(
            configured(single(self.recipe), values), folder, data=without_test(data or self.data)
        )
        self.tools.say(f"member {name}: val_top1 {finished.val_top1:.4f}")
        return Member(name, self.tools.open(folder))

    def open(self, path: str) -> Member:
        """A network that is there: of a run, a bundle or a store; its classes are brought into the data's order.

        Raises:
            RecipeError: it knows other classes than the data.
            CheckpointError: there is no one network with float weights.
        """
        network = self.tools.open(Path(path).expanduser())
        return Member(path, in_class_order(network, self.data.train.classes, path))

    def predict(self, network: Network, dataset: Dataset) -> Predictions:
        """What a network says of the labelled pictures."""
        return self.tools.predict(network.module, dataset, network.spec)


def derived(data: Data, train: Dataset, val: Dataset, how: str) -> Data:
    """Other pictures of the same data set, with a fingerprint of their own.

    Args:
        how: tells these from any others made of ``data``.
    """
    fingerprint = hashlib.sha256(f"{data.report.fingerprint}\n{how}".encode()).hexdigest()
    sets = {"train": train, "val": val}
    report = replace(
        data.report,
        fingerprint=fingerprint,
        counts={split: counts(one) for split, one in sets.items()},
        pictures={split: len(one) for split, one in sets.items()},
        warnings=(),
    )
    return replace(data, train=train, val=val, report=report)
