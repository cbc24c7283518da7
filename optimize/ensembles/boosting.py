"""Boosting: heads, one after the other, on the frozen features of one trunk; each looks to what those before got wrong.

The features of every picture are computed once and kept for as long as neither the pictures
nor the trunk change. ``samme`` draws nothing new:
every round is a logistic regression on reweighted pictures, and the heads vote.
``gradient`` fits each round, by least squares, what the probabilities still lack of the
truth; rounds end where the validation loss is least, and as a sum of linear heads is a linear
head, the network comes out as large as it went in.

Source: Zhu et al., "Multi-class AdaBoost" (SAMME), 2009; Friedman, "Greedy function approximation", 2001.
"""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from model_zoo.architectures.from_members import Votes, without_head
from optimize.choice import Choice
from optimize.data.dataset import Dataset
from optimize.ensembles.boosted_heads import Labelled, gradient, samme
from optimize.ensembles.composite import Parts, copied, made, parts_of, plain
from optimize.ensembles.workshop import Made, Member, Workshop
from optimize.errors import RecipeError, RunError
from optimize.training.durable import write_whole
from optimize.training.network.evaluation_mode import evaluation_mode
from optimize.training.network.head import head
from optimize.training.network.network import Network
from optimize.training.weights_digest import weights_digest

Features = NDArray[np.float32]

TRUNK = "trunk"


class Boosting(Choice):
    """Settings.

    Attributes:
        source: a run or bundle that has the features, of the data's classes; by default the recipe is trained for them.
        algorithm: "samme" or "gradient".
        rounds: heads at most.
        learning_rate: how much of each round counts; by default 1 for samme, 0.1 for gradient.
        c: how little a samme head's weights are held back; scikit-learn's ``C``.
        ridge: how much a gradient head's are; scikit-learn's ``alpha``, for each picture.
    """

    source: str | None = None
    algorithm: Literal["samme", "gradient"] = "gradient"
    rounds: Annotated[int, Field(ge=1, le=1000)] = 50
    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = None
    c: Annotated[float, Field(gt=0)] = 1.0
    ridge: Annotated[float, Field(ge=0)] = 0.01

    def make(self, workshop: Workshop) -> Made:
        """See ``EnsembleChoice``."""
        trunk = workshop.train(TRUNK, {}) if self.source is None else workshop.open(self.source)
        if trunk.network.architecture.name.startswith("ensemble:"):
            raise RecipeError(f"{trunk.name} can't be boosted: it is an ensemble, which has no features of its own")
        features = {
            split: _features(workshop, trunk, split, dataset)
            for split, dataset in (("train", workshop.data.train), ("val", workshop.data.val))
        }
        if self.algorithm == "samme":
            return self._samme(trunk, features)
        return self._gradient(trunk, features)

    def _samme(self, trunk: Member, features: Mapping[str, Labelled]) -> Made:
        classes = len(trunk.network.tasks[0].classes)
        heads = samme(features["train"], classes, self.rounds, self.learning_rate or 1.0, self.c)
        parts = parts_of([trunk])
        body, width = without_head(copied(trunk.network))
        module = Votes(body, width, len(heads.alphas), classes)
        with torch.no_grad():
            module.heads.weight.copy_(torch.from_numpy(heads.weight))
            module.heads.bias.copy_(torch.from_numpy(heads.bias))
            module.alphas.copy_(torch.from_numpy(heads.alphas))
        parts = Parts(parts.spec, parts.classes, (module,), parts.said)
        arguments = {"heads": len(heads.alphas)}
        return made(module, "votes", parts, arguments, [trunk], facts={"rounds": len(heads.alphas)})

    def _gradient(self, trunk: Member, features: Mapping[str, Labelled]) -> Made:
        classes = len(trunk.network.tasks[0].classes)
        rate = self.learning_rate or 0.1
        found = gradient(features["train"], features["val"], classes, self.rounds, rate, self.ridge)
        own = trunk.network
        module = copied(own)
        layer = head(module).layer
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(found.weight))
            if layer.bias is None:
                raise RecipeError(f"{trunk.name}: boosting needs a head with a bias")
            layer.bias.copy_(torch.from_numpy(found.bias))
        network = Network(module=module.eval(), spec=own.spec, architecture=own.architecture, tasks=own.tasks)
        facts: dict[str, Any] = {"rounds": found.rounds, "val_loss": found.val_loss}
        return plain(network, [trunk], facts)


def _features(workshop: Workshop, trunk: Member, split: str, dataset: Dataset) -> Labelled:
    """What enters the trunk's head for each labelled picture; computed once, then read from ``features/``.

    Beside them lies of which pictures and which trunk they are; those of any other are computed again.
    """
    known = np.flatnonzero(dataset.first_labels >= 0)
    path = workshop.folder / "features" / f"{split}.npz"
    stamp = _stamp(workshop.data.report.fingerprint, trunk.network)
    rows = _kept(path, stamp)
    if rows is None:
        rows = _computed(workshop, trunk, dataset.subset(known))
        _save(path, stamp, rows)
    return Labelled(rows.astype(np.float64), dataset.first_labels[known])


def _stamp(fingerprint: str, network: Network) -> str:
    """sha256, hexadecimal, of all that features depend on: the data, the trunk's input, kind and weights."""
    weights = weights_digest(network.module.state_dict())
    return hashlib.sha256(f"{fingerprint}\n{network.spec}\n{network.architecture}\n{weights}".encode()).hexdigest()


def _kept(path: Path, stamp: str) -> Features | None:
    """Features of that stamp; None where there are none, or others."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            rows: Features = file["features"]
            return rows if str(file["stamp"]) == stamp else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise RunError(f"{path} can't be read: {error}; delete it, and it is made again") from error


def _computed(workshop: Workshop, trunk: Member, dataset: Dataset) -> Features:
    try:
        body, _ = without_head(copied(trunk.network))
    except ValueError as error:
        raise RecipeError(f"{trunk.name} can't be boosted: {error}") from error
    with evaluation_mode(body):
        rows = [body(batch).float().numpy() for batch in workshop.tools.inputs(dataset, trunk.network.spec)]
    return np.concatenate(rows)


def _save(path: Path, stamp: str, features: Features) -> None:
    file = io.BytesIO()
    np.savez(file, features=features, stamp=np.array(stamp))
    write_whole(path, file.getvalue())
