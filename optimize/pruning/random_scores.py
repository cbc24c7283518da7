"""The control: what any criterion must beat."""

from collections.abc import Sequence

import torch
from torch import Tensor

from optimize.pruning.criterion import Criterion, Evidence
from optimize.pruning.groups import ChannelGroup
from optimize.seeding import generator


class RandomScores(Criterion):
    """Scores drawn evenly between 0 and 1, the same for one seed and network."""

    def scores(self, groups: Sequence[ChannelGroup], evidence: Evidence) -> list[Tensor | None]:
        """See ``Criterion.scores``."""
        return [
            torch.rand(group.channels, generator=generator(evidence.seed, "prune", group.name), dtype=torch.float64)
            for group in groups
        ]
