"""Batch norms' statistics computed anew, exactly, from given pictures.

Running statistics follow the weights of training with a lag, and an average of weights
(EMA, soups) never had any of its own. Here every batch norm sees the pictures once,
normalising by the batch as in training, and gets the mean and variance of all that it
saw. Source: Wu & Johnson, "Rethinking Batch in BatchNorm" (2021), PreciseBN.

With pictures of another domain, unlabelled, this is the adaptation of Li et al.,
"Revisiting Batch Normalization for Practical Domain Adaptation" (2016), AdaBN.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from optimize.errors import TrainingError
from optimize.training.network.evaluation_mode import evaluation_mode
from optimize.training.network.network import Network
from optimize.training.network.stages import stages
from optimize.training.transfer.plan import Plan

_BatchNorm = nn.modules.batchnorm._BatchNorm


@dataclass(slots=True)
class _Sums:
    """Of one batch norm's inputs, channel by channel, in float64."""

    n: int = 0
    mean: Tensor = field(default_factory=lambda: torch.zeros(()))
    square: Tensor = field(default_factory=lambda: torch.zeros(()))

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """A forward pre-hook: (N, C, …)."""
        x = inputs[0].detach()
        x = x if x.dtype == torch.float64 else x.float()
        variance, mean = torch.var_mean(x, [axis for axis in range(x.ndim) if axis != 1], correction=0)
        variance, mean = variance.double(), mean.double()
        places = x.numel() // x.shape[1]
        # Chan et al. (1983): no difference of large squares, however far the mean is from zero.
        apart = mean - self.mean
        total = self.n + places
        self.square = self.square + variance * places + apart.square() * (self.n * places / total)
        self.mean = self.mean + apart * (places / total)
        self.n = total

    def write(self, norm: _BatchNorm) -> None:
        """Into the running statistics; the variance unbiased, as torch's."""
        if norm.running_mean is not None and norm.running_var is not None and self.n > 1:
            norm.running_mean.copy_(self.mean)
            norm.running_var.copy_(self.square / (self.n - 1))


def reestimate(module: nn.Module, batches: Iterable[Tensor], *, keep: Collection[str] = ()) -> int:
    """Set the running statistics from pictures; all else of the network stays as it is.

    Args:
        module: changed in place: running means and variances alone.
        batches: normalised (n, C, H, W), as large as in training; batches of one picture are passed over.
        keep: names of batch norms whose statistics stay, as ``frozen_norms`` gives them.
    Returns:
        How many pictures were used; 0 when there is nothing to estimate.
    Raises:
        TrainingError: there is no batch of two pictures or more.
    """
    norms = {name: part for name, part in module.named_modules() if isinstance(part, _BatchNorm) and name not in keep}
    if not norms:
        return 0
    sums = {name: _Sums() for name in norms}
    pictures = 0
    with evaluation_mode(module), _by_the_batch(norms.values(), sums.values()):
        for batch in batches:
            if len(batch) > 1:
                module(batch)
                pictures += len(batch)
    if not pictures:
        raise TrainingError("batch norms can't be estimated: there is no batch of two pictures or more")
    for name, norm in norms.items():
        sums[name].write(norm)
    return pictures


def frozen_norms(network: Network) -> tuple[str, ...]:
    """The batch norms whose statistics training kept: to ``keep`` when those of the others are computed anew."""
    names = [name for name, part in network.module.named_modules() if isinstance(part, _BatchNorm)]
    if network.frozen_statistics:
        return tuple(names)
    frozen = [name for stage in stages(network.module) if not stage.trains for name in stage.modules]
    return tuple(name for name in names if any(f"{name}.".startswith(f"{part}.") for part in frozen))


def trains_batch_norms(network: Network, plan: Plan, epochs: int) -> bool:
    """Whether some batch norm normalises by the batch in some epoch of the plan."""
    if network.frozen_statistics:
        return False
    parts = stages(network.module)
    modules = [one for number in plan.ever_trained(len(parts), epochs) for one in parts[number].modules.values()]
    return any(isinstance(part, _BatchNorm) for one in modules for part in one.modules())


@contextmanager
def _by_the_batch(norms: Iterable[_BatchNorm], sums: Iterable[_Sums]) -> Iterator[None]:
    """Normalise by the batch and note what is seen; the running statistics and their count stay."""
    kept = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    handles = [norm.register_forward_pre_hook(seen) for (norm, _, _), seen in zip(kept, sums, strict=True)]
    try:
        for norm, _, count in kept:
            norm.training, norm.momentum = True, 0.0
            norm.num_batches_tracked = None if count is None else count.clone()
        yield
    finally:
        for handle in handles:
            handle.remove()
        for norm, momentum, count in kept:
            norm.momentum, norm.num_batches_tracked = momentum, count
