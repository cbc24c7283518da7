"""Sharpness-aware minimisation: the gradient is taken where the loss is worst nearby, for flatter minima.

Source: Foret et al., "Sharpness-Aware Minimization for Efficiently Improving
Generalization", 2021.

Two passes make a step::

    loss(batch).backward()          # where the weights are
    with sam.climbed():             # the weights rho up the slope, gradients gone
        loss(batch).backward()      # there; the same batches, when several are accumulated
    optimiser.step()                # from where the weights were, by the second gradients

It holds no state from step to step, works with any optimiser, and as only the
gradient's direction counts, a loss scaled for fp16 needs no unscaling first. The second
pass leaves the batch-norm statistics alone: they are of the weights that stay. What
terms learn (a discriminator) does not climb, and it too steps by the second gradients.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

TINY = 1e-12


class Sam:
    """See the module."""

    def __init__(self, network: nn.Module, rho: float = 0.05, *, others: Sequence[nn.Parameter] = ()) -> None:
        """
        Args:
            network: whose parameters are moved; those without a gradient stay.
            rho: how far, in the length of all weights together.
            others: parameters outside the network that the same optimiser moves.
        """
        if not rho > 0:
            raise ValueError(f"rho must be above 0, not {rho}")
        self.network = network
        self.rho = rho
        self.others = tuple(others)

    @contextmanager
    def climbed(self) -> Iterator[None]:
        """Inside, the weights are where the loss is worst nearby; gradients start from none.

        Where the gradients are not finite (fp16 overflowed) the weights stay, and the second pass shows the same.
        """
        weights = [p for p in self.network.parameters() if p.grad is not None]
        statistics = _statistics(self.network)
        before = [tensor.clone() for tensor in statistics]
        kept = self._climb(weights)
        for weight in (*weights, *self.others):
            weight.grad = None
        try:
            yield
        finally:
            with torch.no_grad():
                _copy(weights, kept)
                _copy(statistics, before)

    @torch.no_grad()
    def _climb(self, weights: list[nn.Parameter]) -> list[Tensor]:
        """Move the weights up; gives what they were."""
        kept = [weight.clone() for weight in weights]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        if not weights:
            return kept
        norm = torch.linalg.vector_norm(torch.stack([length.float() for length in torch._foreach_norm(gradients)]))
        # A tensor all along, so that a GPU is not waited for; not finite: not a step.
        scale = torch.where(norm.isfinite(), self.rho / (norm + TINY), torch.zeros_like(norm))
        for weight, slope in zip(weights, gradients, strict=True):
            weight.add_(torch.where(scale > 0, slope * scale, torch.zeros_like(slope)))
        return kept


def _statistics(network: nn.Module) -> list[Tensor]:
    norms = (m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))
    return [buffer for norm in norms for buffer in norm.buffers()]


def _copy(targets: list[nn.Parameter] | list[Tensor], sources: list[Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)
