"""What a criterion is: a score for each channel of a group, the lowest of which go first.

A group's channel is in several layers. Most criteria look at one layer at a time
(``LayerCriterion``): what the layers say is brought to a mean of 1, so that none is louder for
its scale, and averaged. A layer may have nothing to say; a group of which none says anything
loses no channel.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from optimize.choice import Choice
from optimize.pruning.groups import ChannelGroup, Part

# Normalised pictures (n, C, H, W), and rows of probabilities (n, classes of all tasks), zeros where unlabelled.
LabelledBatch = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a criterion may look at besides the groups' layers.

    Attributes:
        module: in evaluation mode; its layers are those of the groups.
        slices: where each task's classes lie in the logits.
        batches: labelled; None where there are none.
        seed: for random numbers.
    """

    module: nn.Module
    slices: Sequence[slice]
    batches: Iterable[LabelledBatch] | None
    seed: int


class Criterion(Choice):
    """Base of the entries of ``CRITERIA``.

    Attributes:
        needs_batches: it can't do without labelled ones.
    """

    needs_batches: ClassVar[bool] = False

    def scores(self, groups: Sequence[ChannelGroup], evidence: Evidence) -> list[Tensor | None]:
        """For each group (channels,), comparable between groups, larger for what matters more; None says nothing."""
        raise NotImplementedError


class LayerCriterion(Criterion):
    """A criterion that looks at one layer at a time; a subclass writes ``of_part``."""

    def of_part(self, part: Part) -> Tensor | None:
        """(k,) scores ≥ 0 for ``part.positions``, of any scale; None says nothing."""
        raise NotImplementedError

    def scores(self, groups: Sequence[ChannelGroup], evidence: Evidence) -> list[Tensor | None]:
        """See ``Criterion.scores``."""
        with torch.no_grad():
            return [self._of_group(group) for group in groups]

    def _of_group(self, group: ChannelGroup) -> Tensor | None:
        said = [(part, self.of_part(part)) for part in group.parts]
        heard = [(part, values) for part, values in said if values is not None]
        return mean_over_parts(group, [(part, level(values)) for part, values in heard])


def mean_over_parts(group: ChannelGroup, said: Sequence[tuple[Part, Tensor]]) -> Tensor | None:
    """What layers say of their positions, (k,) each, averaged by channel: float64 (channels,), on the CPU."""
    if not said:
        return None
    total = torch.zeros(group.channels, dtype=torch.float64)
    for part, values in said:
        times = torch.bincount(part.channels, minlength=group.channels).clamp(min=1)
        found = torch.zeros(group.channels, dtype=torch.float64)
        total += found.index_add_(0, part.channels, values.detach().double().cpu()) / times
    return total / len(said)


def level(values: Tensor) -> Tensor:
    """Scores with a mean of 1; zeros stay."""
    mean = values.double().mean()
    return values.double() / mean if mean > 0 else values.double()


def channel_rows(part: Part, values: Tensor) -> Tensor:
    """A layer's weights (or what lies beside them), a row for each of ``part.positions``.

    Args:
        values: shaped like the layer's weight.
    Returns:
        (k, values of one channel).
    """
    positions = part.positions.to(values.device)
    chosen = values[positions] if part.outputs else values[:, positions].transpose(0, 1)
    return chosen.flatten(1) if chosen.ndim > 1 else chosen.unsqueeze(1)
