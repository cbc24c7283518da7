"""Seeing that the right channels were cut: what is left must compute what the whole network does without them.

Where channels go is read from torch-pruning's trace, and a trace can be wrong and run all the same: of two
branches that are flattened and then joined, it confuses the places. So the cut is made a second time, on a copy
with random weights (real ones may hide a fault behind a scale of zero), and compared in float64
with the same copy at full width in which those channels are dead: nothing makes them, nothing reads them.
A network that mixes its channels without weights (their mean, a norm over them) is not the same
with fewer of them, and is refused as well.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from model_zoo.architectures.pruned import BatchNorm, narrow, sized_layers, widths
from optimize.errors import PassError
from optimize.seeding import generator

# Which positions of a layer go: (its name, whether its outputs are meant) → int64.
Lost = Mapping[tuple[str, bool], Tensor]

PICTURES = 3
# Of the largest logit: far above float64's rounding, far below what a wrong channel changes.
AGREEMENT = 1e-6


def require_right(module: nn.Module, lost: Lost, example: Tensor) -> None:
    """See that ``module`` may lose these positions.

    Args:
        module: before the cut; not changed.
        example: one picture, (1, C, H, W).
    Raises:
        PassError: what is left would compute something else, or not run.
    """
    dead = _random_copy(module)
    cut = copy.deepcopy(dead)
    _silence(dead, lost)
    remove(cut, lost)
    pictures = torch.randn((PICTURES, *example.shape[1:]), generator=generator(0, "pruned"), dtype=torch.float64)
    try:
        with torch.no_grad():
            expected, got = dead(pictures), cut(pictures)
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise PassError(f"{type(module).__name__} does not run with fewer channels: {reason}") from error
    if not (_agree(got, expected) and _looks_at(expected)):
        raise PassError(
            f"{type(module).__name__} can't be pruned: without those channels it computes something else than with "
            "them at zero, so where they go was not followed rightly, or they are mixed without weights"
        )


def remove(module: nn.Module, lost: Lost) -> None:
    """Cut these positions out of the layers, in place."""
    none = torch.zeros(0, dtype=torch.int64)
    for name, layer in sized_layers(module).items():
        inputs, outputs = (
            _left(size, lost.get((name, side), none)) for size, side in zip(widths(layer), (False, True), strict=True)
        )
        if (len(inputs), len(outputs)) != widths(layer):
            narrow(layer, inputs, outputs)


def _left(size: int, gone: Tensor) -> Tensor:
    if len(gone) and int(gone.max()) >= size:
        raise PassError("this network can't be pruned: where its channels go can't be followed")
    stays = torch.ones(size, dtype=torch.bool)
    stays[gone] = False
    return stays.nonzero().flatten()


def _random_copy(module: nn.Module) -> nn.Module:
    """In float64 on the CPU; batch norms go by their batch, so that signals neither fade nor saturate."""
    twin = copy.deepcopy(module).cpu().double().eval()
    with torch.no_grad():
        for name, layer in sized_layers(twin).items():
            numbers = generator(0, "pruned", name)
            if isinstance(layer, BatchNorm):
                layer.train()
            for parameter in layer.parameters(recurse=False):
                noise = torch.randn(parameter.shape, generator=numbers, dtype=torch.float64)
                fan_in = parameter[0].numel() if parameter.ndim > 1 else 10
                parameter.copy_(noise * (2 / fan_in) ** 0.5)
            if isinstance(layer, BatchNorm) and layer.affine:
                layer.weight.add_(1.0)
    return twin


def _silence(module: nn.Module, lost: Lost) -> None:
    """Nothing makes these positions and nothing reads them, in place."""
    layers = sized_layers(module)
    with torch.no_grad():
        for (name, outputs), positions in lost.items():
            layer = layers[name]
            if not outputs:
                layer.weight[:, positions] = 0
                continue
            for parameter in layer.parameters(recurse=False):
                parameter[positions] = 0


def _agree(got: Tensor, expected: Tensor) -> bool:
    if got.shape != expected.shape:
        return False
    return float((got - expected).abs().max()) <= AGREEMENT * float(expected.abs().max())


def _looks_at(logits: Tensor) -> bool:
    """Whether they differ between pictures: else nothing was seen."""
    return bool((logits[0] != logits[1]).any())
