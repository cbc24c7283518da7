"""How much the loss changes, to first order, when a channel goes.

Source: Molchanov et al., "Importance Estimation for Neural Network Pruning" (2019): the square of
Σ weight · gradient over a channel's weights in a layer, averaged over batches and layers. They
compare these between layers as they are; here they are brought to a mean of 1 in each group, without
which a few groups lose nearly all their channels.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from optimize.errors import DataError
from optimize.pruning.criterion import Criterion, Evidence, channel_rows, level, mean_over_parts
from optimize.pruning.groups import ChannelGroup, Part
from optimize.training.recipe_entries import Entry, entry_of
from optimize.training.step import Loss

_LOSS = entry_of("optimize.training.losses:LOSSES")


class Taylor(Criterion):
    """By the gradients of a loss on labelled pictures.

    Attributes:
        loss: an entry of ``LOSSES``, summed over the tasks.
    """

    needs_batches: ClassVar[bool] = True

    loss: Annotated[Entry[Loss], *_LOSS] = Field(default="cross_entropy", validate_default=True)

    def scores(self, groups: Sequence[ChannelGroup], evidence: Evidence) -> list[Tensor | None]:
        """See ``Criterion.scores``; gradients are left in the module.

        Raises:
            DataError: no batch at all, or targets of another shape than the logits.
        """
        sums = [[torch.zeros(len(part.positions), dtype=torch.float64) for part in group.parts] for group in groups]
        seen = False
        for inputs, targets in evidence.batches or ():
            seen = True
            self._differentiate(evidence, inputs, targets)
            for group, kept in zip(groups, sums, strict=True):
                for part, total in zip(group.parts, kept, strict=True):
                    total += _change(part).square().cpu()
        if not seen:
            raise DataError("the criterion taylor has no labelled batch to take gradients from")
        found = [
            mean_over_parts(group, list(zip(group.parts, kept, strict=True)))
            for group, kept in zip(groups, sums, strict=True)
        ]
        return [None if one is None else level(one) for one in found]

    def _differentiate(self, evidence: Evidence, inputs: Tensor, targets: Tensor) -> None:
        evidence.module.zero_grad(set_to_none=True)
        with torch.enable_grad():
            logits = evidence.module(inputs)
            if targets.shape != logits.shape:
                raise DataError(
                    f"targets for the criterion taylor are rows of probabilities, as many as classes: "
                    f"{tuple(logits.shape)}, not {tuple(targets.shape)}"
                )
            rows = [self.loss.choice(logits[:, one], targets[:, one]) for one in evidence.slices]
            torch.autograd.backward(torch.stack(rows).sum(0).mean())


def _change(part: Part) -> Tensor:
    """Σ weight · gradient by position, float64 (k,): what the layer's part of each channel adds to the loss."""
    layer = part.layer
    if next(layer.parameters(), None) is None:  # a batch norm without scales changes nothing by itself
        return torch.zeros(len(part.positions), dtype=torch.float64)
    found = channel_rows(part, _product(layer.weight)).sum(1)
    if layer.bias is not None and part.outputs:
        found += _product(layer.bias)[part.positions.to(found.device)]
    return found


def _product(parameter: Tensor) -> Tensor:
    """0 where there is no gradient."""
    values = parameter.detach().double()
    return values * (0.0 if parameter.grad is None else parameter.grad.double())
