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

from collections.abc import Callable, Mapping, Sequence
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
# Place of this argument.
_GROUPS = 6
IN_PLACE = frozenset({"add_", "mul_"})


class Int8Arithmetic(TorchFunctionMode):
    """A context for one forward pass."""

    def __init__(self) -> None:
        super().__init__()
        # By identity and version; the tensor itself is kept, so that its identity stays its own.
        self._rounded: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """See the module."""
        name = getattr(func, "__name__", "")
        if torch.is_grad_enabled():
            if name in LAYERS:
                x, weight, *rest = args
                groups = _groups(args, kwargs or {}) if name == "conv2d" else 1
                args = (self._codes(x), round_weights(weight, pairs_of(weight, groups)), *rest)
            elif name in TAKES_CODES:
                args = [self._codes(one) for one in args]
            elif name in IN_PLACE:
                args = [args[0], *(self._codes(one) for one in args[1:])]
        return func(*args, **(kwargs or {}))

    def _codes(self, given: Any) -> Any:  # noqa: ANN401
        if isinstance(given, list | tuple):
            return [self._codes(one) for one in given]
        is_activation = isinstance(given, Tensor) and given.requires_grad and not isinstance(given, nn.Parameter)
        if not is_activation or given.ndim < 2:
            return given
        key = (id(given), given._version)
        if key not in self._rounded:
            self._rounded[key] = (given, round_activations(given))
        return self._rounded[key][1]


def _groups(args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    """Of a call of ``conv2d``."""
    return int(args[_GROUPS] if len(args) > _GROUPS else kwargs.get("groups", 1))
