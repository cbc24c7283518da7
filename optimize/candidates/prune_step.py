"""Pruning as a step: the channels that matter least go; recovering is the next step's work."""

from contextlib import closing
from pathlib import Path
from typing import Self

import numpy as np
import torch
from pydantic import model_validator
from torch.nn import functional

from model_zoo.bundle import Bundle
from model_zoo.spec import InputSpec
from optimize.candidates.bench import Bench
from optimize.candidates.float_network import export_like, float_network
from optimize.candidates.shown import ShownPictures
from optimize.candidates.width_clock import WidthClock, journaled
from optimize.pruning.criterion import LabelledBatch
from optimize.pruning.options import PruneOptions
from optimize.pruning.prune import prune
from optimize.training.normalise import Normalise

BATCH = 64


class PruneStep(PruneOptions):
    """As ``PruneOptions``; ``macs`` and ``latency`` are of the parent's, however often is pruned."""

    @model_validator(mode="after")
    def _one_at_a_time(self) -> Self:
        if self.steps != 1:
            raise ValueError("steps: to prune little by little, name prune and finetune in turns, keeping ever less")
        return self

    def make(self, bundle: Bundle, bench: Bench, folder: Path) -> Bundle:
        """See ``StepChoice``."""
        network = float_network(bundle, "prune")
        with closing(WidthClock(bundle, bench.parent, bench.recipe.measure)) as clock:
            found = prune(
                network,
                self,
                labelled_batches(bench, network.spec),
                seed=bench.recipe.seed,
                unpruned=float_network(bench.parent, "prune"),
                clock=journaled(clock, bundle, bench.folder),
            )
        return export_like(bundle, found.network.module, network.spec, found.network.architecture, folder)


def labelled_batches(bench: Bench, spec: InputSpec) -> list[LabelledBatch]:
    """Some training pictures as a network takes them, with their labels as rows of probabilities."""
    classes = len(bench.parent.labels)
    normalise = Normalise(spec, torch.device("cpu"), channels_last=False)
    found, pictures, labels = [], ShownPictures(bench.shown, spec), bench.shown.first_labels
    for start in range(0, len(pictures), BATCH):
        part = np.ascontiguousarray(pictures[start : start + BATCH].transpose(0, 3, 1, 2))
        said = functional.one_hot(torch.from_numpy(labels[start : start + BATCH]), classes).float()
        found.append((normalise.of_bytes(torch.from_numpy(part)), said))
    return found
