"""The network that a run ends with: the last epoch's or the best, averaged or not, its batch norms estimated anew."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from optimize.data.read import Data
from optimize.errors import RecipeError
from optimize.seeding import stream_seed
from optimize.training.assembly import Assembly
from optimize.training.batch_norm import frozen_norms, reestimate
from optimize.training.checkpointing import Standing
from optimize.training.evaluate_network import EvaluationSet
from optimize.training.network.network import Network


def final_network(parts: Assembly, standing: Standing, data: Data) -> Network:
    """A copy, on the training device, in evaluation mode.

    Raises:
        RecipeError: batch norms are to adapt to a target folder that is not there.
    """
    # A run that goes on after its last epoch has frozen nothing yet, and dropped nothing.
    parts.plan.begin_epoch(parts.network, standing.done - 1, parts.epochs)
    torch.manual_seed(stream_seed(parts.recipe.seed, "finish"))
    module = copy.deepcopy(parts.judged).eval()
    if parts.recipe.train.keep == "best" and standing.best is not None:
        module.load_state_dict(standing.best)
    batches = parts.recipe.train.reestimate_batch_norm
    if batches:
        reestimate(module, _training_batches(parts, batches), keep=frozen_norms(parts.network))
    if parts.plan.adapt_batch_norm:
        if data.target is None:
            raise RecipeError("transfer.adapt_batch_norm: name a folder of the other domain's pictures in data.target")
        target = EvaluationSet(data.target, parts.network.spec, parts.device, memory_mb=parts.recipe.data.memory_mb)
        try:
            reestimate(module, _plain_batches(parts, target))
        finally:
            target.close()
    return replace(parts.network, module=module)


def _training_batches(parts: Assembly, batches: int) -> Iterator[Tensor]:
    """As in training, drawn as the epoch after the last would be."""
    size = parts.size_at(1.0)
    for step, loaded in enumerate(islice(parts.loader.epoch(parts.epochs), batches)):
        yield parts.maker.make(loaded, size, "reestimate", step).inputs


def _plain_batches(parts: Assembly, pictures: EvaluationSet) -> Iterator[Tensor]:
    at_once = parts.recipe.train.batch_size
    for start in range(0, len(pictures.dataset), at_once):
        yield pictures.inputs(np.arange(start, min(start + at_once, len(pictures.dataset))))
