"""What lies between a network's input and its logits: outputs of modules by name, taken as the data passes."""

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from optimize.choice import nearest
from optimize.errors import RecipeError
from optimize.training.network.evaluation_mode import evaluation_mode
from optimize.training.network.stages import stages
from optimize.training.tasks.soft_sharing import SoftSharing

# Names besides those of modules: what enters the head, before its dropout, and that averaged over all places.
HEAD_INPUT = "head_input"
POOLED = "pooled"

_SHOWN = 300


class FeatureTaps:
    """A context in which the outputs of some modules are kept; ``take`` gives those of the last pass.

    ``pooled`` is (N, channels): what enters the head, averaged over places where it still has them.
    With soft sharing the trunks' lie side by side.
    """

    def __init__(self, module: nn.Module, names: Sequence[str]) -> None:
        """
        Raises:
            RecipeError: no module has such a name; the message gives the nearest.
        """
        self._found: dict[str, dict[int, Tensor]] = {}
        self._handles: list[RemovableHandle] = []
        self._module = module
        self.names = tuple(dict.fromkeys(names))
        modules = dict(module.named_modules())
        for name in self.names:
            if name not in (POOLED, HEAD_INPUT) and (not name or name not in modules):
                hint = nearest(name, [POOLED, *filter(None, modules)])
                raise RecipeError(f"the network has no module {name!r}{hint[:_SHOWN]}{' …' * (len(hint) > _SHOWN)}")

    def __enter__(self) -> Self:
        for name in self.names:
            if name in (POOLED, HEAD_INPUT):
                for number, entry in enumerate(head_entries(self._module)):
                    self._handles.append(entry.register_forward_pre_hook(self._input_keeper(name, number)))
            else:
                module = self._module.get_submodule(name)
                self._handles.append(module.register_forward_hook(self._output_keeper(name)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._found.clear()

    def take(self) -> dict[str, Tensor]:
        """What the last pass gave, by name; it is let go here, so that its memory is not held to the next pass."""
        found = {name: _joined(list(parts.values())) for name, parts in self._found.items()}
        self._found.clear()
        return found

    def _input_keeper(self, name: str, number: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            features = pooled(inputs[0]) if name == POOLED else inputs[0]
            self._found.setdefault(name, {})[number] = features

        return keep

    def _output_keeper(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], object], None]:
        def keep(_: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
            if not isinstance(output, Tensor):
                raise RecipeError(f"module {name!r} gives a {type(output).__name__}, not a tensor of features")
            self._found[name] = {0: output}

        return keep


def observe(module: nn.Module, names: Sequence[str], batch: Tensor) -> Mapping[str, Tensor]:
    """The features of one batch, in evaluation mode and without gradients; for their shapes, say.

    Args:
        batch: normalised (N, C, H, W).
    Raises:
        RecipeError: an unknown name.
    """
    with FeatureTaps(module, names) as taps, evaluation_mode(module):
        module(batch)
        return taps.take()


def pooled(features: Tensor) -> Tensor:
    """(N, C, H, W) → its mean over places, (N, C); (N, C) stays."""
    return features.mean(tuple(range(2, features.ndim))) if features.ndim > 2 else features


def head_entries(module: nn.Module) -> tuple[nn.Module, ...]:
    """The modules that features enter first on their way to the logits, one for each trunk."""
    networks = module.networks if isinstance(module, SoftSharing) else (module,)
    return tuple(next(iter(stages(network)[-1].modules.values())) for network in networks)


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)
