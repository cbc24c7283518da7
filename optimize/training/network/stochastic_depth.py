"""What a step leaves out at random: residual branches (stochastic depth) and inputs of the head (dropout).

A block of the zoo says in ``branch_end`` which of its modules gives what the skip is
added to. A hook there scales the branch picture by picture: by 0 with the block's
probability, else so that the mean stays. So no block needs code for it, the names in
the state dict stay, and in evaluation nothing happens at all.

Source: Huang et al., "Deep Networks with Stochastic Depth" (2016); probabilities grow
linearly with depth, from 0 in the first block.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from optimize.errors import RecipeError


@dataclass(frozen=True, slots=True)
class DropPath:
    """A forward hook: while its block trains, each picture's branch is 0 with probability ``rate``.

    The block is asked, and not the module that the hook is on: that may be a batch norm, whose mode has meanings of
    its own (frozen statistics, statistics that are estimated anew). Drawn from torch's own generator on the
    activations' device, as dropout is.
    """

    rate: float
    block: nn.Module

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        """(N, …) → (N, …), or None for "as it is"."""
        if not self.block.training or not self.rate:
            return None
        kept = torch.empty(len(output), *[1] * (output.ndim - 1), device=output.device, dtype=output.dtype)
        return output * kept.bernoulli_(1 - self.rate).div_(1 - self.rate)


def residual_blocks(module: nn.Module) -> tuple[nn.Module, ...]:
    """The blocks that have a skip, from input to output."""
    return tuple(part for part in module.modules() if hasattr(part, "branch_end") and getattr(part, "has_skip", True))


def residual_branches(module: nn.Module) -> tuple[nn.Module, ...]:
    """What each block adds to its skip, from input to output."""
    return tuple(block.get_submodule(str(block.branch_end)) for block in residual_blocks(module))


def drop_paths(module: nn.Module, rate: float) -> None:
    """Let steps leave out residual branches, the last one with probability ``rate``.

    Raises:
        RecipeError: the network has none that are known.
    """
    blocks, branches = residual_blocks(module), residual_branches(module)
    if not blocks:
        raise RecipeError(
            f"model.drop_path: {type(module).__name__} has no residual blocks to leave out; "
            "networks of timm take arguments.drop_path_rate instead"
        )
    for number, (block, branch) in enumerate(zip(blocks, branches, strict=True)):
        branch.register_forward_hook(DropPath(rate * number / max(len(blocks) - 1, 1), block))


def choose_dropout(module: nn.Module, share: float) -> None:
    """Set the share that every dropout layer leaves out.

    Raises:
        RecipeError: the network has none.
    """
    layers = [part for part in module.modules() if isinstance(part, nn.Dropout)]
    if not layers:
        raise RecipeError(f"model.dropout: {type(module).__name__} has no dropout layer")
    for layer in layers:
        layer.p = share
