"""A network's forward pass as integer kernels would compute it.

In the INT8 graph every layer, sum, product and mean takes 8-bit codes. Here the same operations, met as torch
calls them, get inputs that are rounded likewise. What comes out is rounded when the next one takes it, so that
batch norms and activations, which melt into the layer before them, stand where they would.
Nothing of the network is replaced: no family needs code of its own, and what trains is what is exported, in float.

A scale for each output makes rounding a layer's weights and folding its batch norm interchangeable, so batch norms
go on learning. Pixels are not rounded: they are 8 bits as they come. Without gradients (a teacher, a look
at the validation pictures) nothing is rounded.

What it does not do: it is no simulation to the last bit. ``quantize_int8`` decides ranges and codes in the end,
better than rounding to nearest does here. What torch is not called for by name (a compiled network, attention in one
call) stays in float. The first operand of a sum in place stays as it is: others may hold it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from optimize.passes.weight_rounding import pairs_of
from optimize.training.int8.rounding import round_activations, round_weights

LAYERS = frozenset({"conv2d", "linear"})
TAKES_CODES = frozenset(
    {
        *("add", "mul", "cat", "concat", "mean", "avg_pool2d", "adaptive_avg_pool2d"),
        *("sigmoid", "silu", "hardsigmoid", "hardswish", "leaky_relu"),
    }
)
# Place of this argument of a convolution.
_GROUPS = 6
IN_PLACE = frozenset({"add_", "mul_"})


class Int8Arithmetic(TorchFunctionMode):
    """A context for one forward pass."""

    def __init__(self) -> None:
        super().__init__()
        # By identity and version; the tensor itself is kept, so that its identity stays its own.
        self._rounded: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        # What was computed from parameters alone is a weight too.
        self._weights: dict[tuple[int, int], Tensor] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """See the module."""
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        if not torch.is_grad_enabled():
            return func(*args, **kwargs)
        if name in LAYERS:
            args, kwargs = self._layer(args, kwargs)
        elif name in TAKES_CODES or name in IN_PLACE:
            kept = 1 if name in IN_PLACE else 0
            args = [*args[:kept], *(self._codes(one) for one in args[kept:])]
            kwargs = {key: self._codes(one) for key, one in kwargs.items()}
        made = func(*args, **kwargs)
        taken = list(_tensors([*args, *kwargs.values()]))
        if isinstance(made, Tensor) and taken and all(map(self._is_weight, taken)):
            self._weights[_key(made)] = made
        return made

    def _layer(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Sequence[Any], Mapping[str, Any]]:
        said = {**dict(zip(("input", "weight"), args, strict=False)), **kwargs}
        x, weight = said.pop("input"), said.pop("weight")
        groups = int(args[_GROUPS] if len(args) > _GROUPS else said.get("groups", 1))
        if x.requires_grad or weight.requires_grad:
            x, weight = self._codes(x), round_weights(weight, pairs_of(weight, groups))
        return [x, weight, *args[2:]], said

    def _is_weight(self, given: Tensor) -> bool:
        return isinstance(given, nn.Parameter) or _key(given) in self._weights

    def _codes(self, given: Any) -> Any:  # noqa: ANN401
        if isinstance(given, list | tuple):
            return [self._codes(one) for one in given]
        is_activation = isinstance(given, Tensor) and given.requires_grad and not self._is_weight(given)
        if not is_activation or given.ndim < 2:
            return given
        key = _key(given)
        if key not in self._rounded:
            self._rounded[key] = (given, round_activations(given))
        return self._rounded[key][1]


def _tensors(given: Sequence[Any]) -> Iterator[Tensor]:
    for one in given:
        if isinstance(one, Tensor):
            yield one
        elif isinstance(one, list | tuple):
            yield from _tensors(one)


def _key(given: Tensor) -> tuple[int, int]:
    return id(given), given._version
