"""The zeros of a network in training, what was there before them, and what they are chosen by.

A weight that is 0 is 0 in the network itself, whenever the network computes: forward, backward and validation
see what will be exported, and nothing is swapped. What it was waits beside, for the case that it comes back; this
tells gradual pruning from cutting once. Its gradient is seen and scored, then set to 0, before gradients are
clipped: only what moves counts. After the optimiser's step, momentum and decay of weights that are 0 are undone; so
are those of an average of the weights, in which a mean of zeros and of what came before them would be no zero.

All of it is in the checkpoint; when zeros are chosen anew is a function of the step. So a run that is killed goes on
to the same zeros.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from optimize.errors import CheckpointError, RecipeError
from optimize.training.sparsity.choosing import chosen_zeros
from optimize.training.sparsity.layers import sparse_layers, zero_share
from optimize.training.sparsity.options import HALF, SparsityOptions
from optimize.training.sparsity.rounds import Rounds
from optimize.training.sparsity.scores import forgets, reads_gradients, scored

Tensors = dict[str, Tensor]


class SparseWeights:
    """See the module; the loop calls, in a step: ``see_gradients``, ``moved``, ``average_moved``."""

    def __init__(
        self, network: nn.Module, options: SparsityOptions, updates: int, *, average: nn.Module | None = None
    ) -> None:
        """
        Args:
            network: with its starting weights, on its device.
            updates: steps of the optimiser in the whole run.
            average: of its weights, of the same structure.
        Raises:
            RecipeError: nothing in it can follow the pattern.
        """
        self._options = options
        self._weights = sparse_layers(network)
        if not self._weights:
            raise RecipeError("sparsity: the network has no convolution or linear layer whose weights could be 0")
        if options.pattern == "2:4" and all(one.shape[1] % 4 for one in self._weights.values()):
            raise RecipeError("sparsity: no layer has a multiple of four inputs, so 2:4 would change nothing")
        self._averages = sparse_layers(average) if average is not None else {}
        self._rounds = Rounds.of(options, updates)
        most = HALF if options.pattern == "2:4" else 1.0
        self._start = min(zero_share(network), most)
        self._end = max(options.share, self._start)
        self.zeros: Tensors = {name: one.detach() == 0 for name, one in self._weights.items()}
        self._before = self._blank() if options.grows else {}
        self._products = self._blank() if options.grows and reads_gradients(options.score) else {}

    @torch.no_grad()
    def hold_gradients(self) -> None:
        """No gradient for what is 0."""
        for name, weight in self._weights.items():
            if weight.grad is not None:
                weight.grad.masked_fill_(self.zeros[name], 0)

    @torch.no_grad()
    def see_gradients(self) -> None:
        """Take those of a step in, then ``hold_gradients``."""
        for name, products in self._products.items():
            weight = self._weights[name]
            if weight.grad is not None:  # fp16 overflows on a GPU, and the step is then left out
                products.add_(weight.grad.nan_to_num(0.0, 0.0, 0.0) * (weight + self._before[name]))
        self.hold_gradients()

    @torch.no_grad()
    def moved(self, update: int) -> None:
        """After the optimiser's step ``update``, from 0: zeros are zeros again, and perhaps others."""
        self._hold(self._weights)
        if self._options.grows and self._rounds.has(update):
            self.choose(self._rounds.share(update, self._start, self._end))

    @torch.no_grad()
    def choose(self, share: float) -> None:
        """Zeros for this share of the weights, by what is known now."""
        whole = {name: weight.detach() + self._before[name] for name, weight in self._weights.items()}
        magnitudes = {name: one.abs().cpu().numpy() for name, one in whole.items()}
        scores = {
            name: scored(self._options.score, one, self._products[name].cpu().numpy() if self._products else one)
            for name, one in magnitudes.items()
        }
        found = chosen_zeros(magnitudes, scores, share, self._options.pattern)
        for name, weight in self._weights.items():
            self.zeros[name].copy_(torch.from_numpy(found[name]))
            weight.copy_(whole[name])
            self._before[name].copy_(whole[name].masked_fill(~self.zeros[name], 0))
        self._hold(self._weights)
        if forgets(self._options.score):
            for products in self._products.values():
                products.zero_()

    @torch.no_grad()
    def average_moved(self) -> None:
        """After the average took the weights in."""
        self._hold(self._averages)

    def state_dict(self) -> dict[str, Tensors]:
        """For a checkpoint."""
        return {"zeros": self.zeros, "before": self._before, "products": self._products}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was taken.

        Raises:
            CheckpointError: it is of another network, or of other settings.
        """
        for key, mine in self.state_dict().items():
            given = state.get(key, {})
            if {name: one.shape for name, one in mine.items()} != {name: one.shape for name, one in given.items()}:
                raise CheckpointError(f"the checkpoint's {key} of sparse layers are of another network")
            for name, one in mine.items():
                one.copy_(given[name])

    def _blank(self) -> Tensors:
        return {name: torch.zeros_like(one, requires_grad=False) for name, one in self._weights.items()}

    def _hold(self, weights: Mapping[str, Tensor]) -> None:
        for name, weight in weights.items():
            weight.masked_fill_(self.zeros[name], 0)
