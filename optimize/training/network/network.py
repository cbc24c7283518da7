"""A network in training, with what must be known of it to make a bundle in the end."""

from dataclasses import dataclass
from itertools import accumulate

from torch import nn

from model_zoo.spec import ArchitectureRef, InputSpec
from optimize.data.dataset import Task
from optimize.training.network.stages import stages


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What ``build_network`` makes; ``dataclasses.replace(network, module=ema)`` for an average of it.

    Attributes:
        module: normalised float (N, C, H, W) → logits (N, sum of the tasks' classes).
        spec: the bundle's input.
        architecture: the entry that builds ``module`` again; of one task's network where sharing is soft.
        tasks: whose logits lie side by side, in this order.
        frozen_statistics: batch norms keep theirs.
        start: digest of the starting weights; None where they are drawn.
        notes: what was done to the starting weights, a line each, for people.
    """

    module: nn.Module
    spec: InputSpec
    architecture: ArchitectureRef
    tasks: tuple[Task, ...]
    frozen_statistics: bool = False
    start: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def slices(self) -> tuple[slice, ...]:
        """Where each task's classes lie in the logits."""
        ends = list(accumulate(len(task.classes) for task in self.tasks))
        return tuple(slice(end - len(task.classes), end) for end, task in zip(ends, self.tasks, strict=True))

    def train(self) -> None:
        """Training mode, but for stages that get no gradient and statistics that are frozen.

        Call it, not ``module.train()``: a frozen part with its dropout and batch norms
        at work would not be frozen.
        """
        self.module.train()
        for stage in stages(self.module):
            if not stage.trains:
                for part in stage.modules.values():
                    part.eval()
        if self.frozen_statistics:
            for part in self.module.modules():
                if isinstance(part, nn.modules.batchnorm._BatchNorm):
                    part.eval()
