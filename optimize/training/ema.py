"""An average of the weights over the steps: often better than the last weights, and calmer from epoch to epoch.

Source: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging",
1992, in the exponential form of "Mean teachers" (Tarvainen and Valpola, 2017). The
ramp, TensorFlow's, lets early steps count less: after t updates the past keeps
min(decay, (1 + t) / (10 + t)), so that the initial weights are forgotten soon.

Batch-norm statistics are averaged like the weights, as timm does; whole numbers are taken
as they are. All tensors move in one call for each type and device (``torch._foreach_lerp_``).
"""

import copy
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from optimize.errors import CheckpointError

RAMP = 10

# A module's dict of parameters or buffers, and a name in it: the place stays when the tensor is replaced, and
# looking there at each step costs a fraction of walking through the modules.
_Owner = dict[str, Tensor | None]
_Slots = list[tuple[_Owner, str]]
_Pair = tuple[_Slots, _Slots]


class Ema:
    """The average of a network.

    Attributes:
        network: a copy in evaluation mode whose weights are the average; give it to whoever judges or exports.
        updates: how often ``update`` was called.
    """

    def __init__(self, network: nn.Module, decay: float = 0.999) -> None:
        """
        Args:
            network: in training; read at every update. Not a compiled one: what it was compiled from.
            decay: what the past keeps at a step once the ramp is over, 0 to 1.
        """
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be from 0 to less than 1, not {decay}")
        self.decay = decay
        self.updates = 0
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._averaged, self._copied = self._slots(network)

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the network as it is now; once for each step of the optimiser."""
        keep = min(self.decay, (1 + self.updates) / (RAMP + self.updates))
        for mine, theirs in self._averaged:
            torch._foreach_lerp_(_tensors(mine), _tensors(theirs), 1 - keep)
        for mine, theirs in self._copied:
            torch._foreach_copy_(_tensors(mine), _tensors(theirs))
        self.updates += 1

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: the average, and how many updates it has seen."""
        return {"network": self.network.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was taken.

        Raises:
            CheckpointError: it is of another network.
        """
        try:
            self.network.load_state_dict(state["network"])
            self.updates = int(state["updates"])
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"the checkpoint's average is of another network: {error}") from error

    def _slots(self, network: nn.Module) -> tuple[list[_Pair], list[_Pair]]:
        """Where the tensors to average and those to copy are, in groups of one type and device."""
        averaged: dict[tuple[torch.device, torch.dtype], _Pair] = defaultdict(lambda: ([], []))
        copied: dict[tuple[torch.device, torch.dtype], _Pair] = defaultdict(lambda: ([], []))
        seen: set[int] = set()
        for mine, theirs in zip(self.network.modules(), network.modules(), strict=True):
            for kind in ("_parameters", "_buffers"):
                owner: _Owner = getattr(theirs, kind)
                for name, tensor in owner.items():
                    if tensor is None or id(tensor) in seen:  # a tensor that two modules share moves once
                        continue
                    seen.add(id(tensor))
                    group = (averaged if tensor.is_floating_point() else copied)[tensor.device, tensor.dtype]
                    group[0].append((getattr(mine, kind), name))
                    group[1].append((owner, name))
        return list(averaged.values()), list(copied.values())


def _tensors(slots: _Slots) -> list[Tensor]:
    return [tensor for owner, name in slots if (tensor := owner[name]) is not None]
