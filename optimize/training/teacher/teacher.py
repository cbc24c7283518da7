"""A teacher: a frozen network that looks at the student's pictures and says what it sees, class by class.

It resizes and normalises for itself, and its logits are in the student's order. It
never trains: ``train()`` leaves it in evaluation mode, and nothing in it gets gradients.
"""

from collections.abc import Iterable, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from model_zoo.spec import InputSpec
from optimize.errors import RecipeError
from optimize.training.step import Seen
from optimize.training.teacher.class_order import class_order
from optimize.training.teacher.fit_pictures import fit_pictures


class Teacher(nn.Module):
    """Base of all teachers; a subclass writes ``look``.

    Attributes:
        classes: of the logits, the student's.
        fingerprint: equal for teachers that say the same of the same pictures.
        said: how messages call it.
    """

    order: Tensor

    def __init__(self, *, said: str, fingerprint: str, own: Sequence[str], classes: Sequence[str]) -> None:
        """
        Args:
            own: the teacher's classes in its order.
            classes: the student's, the same names in any order.
        Raises:
            DataError: these are not the same names.
        """
        super().__init__()
        self.said = said
        self.fingerprint = fingerprint
        self.classes = tuple(classes)
        self.register_buffer("order", torch.tensor(class_order(own, classes, said)), persistent=False)

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Seen:
        """Look at a batch.

        Args:
            pictures: float (N, C, H, W) in 0 to 1, grey or RGB, of any size.
        Returns:
            float32 logits (N, classes), and the maps of the layers that were tapped.
        """
        logits, features = self.look(pictures)
        return Seen(logits.float().index_select(1, self.order.to(logits.device)), features)

    def look(self, pictures: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits in the teacher's own order, and the tapped maps."""
        raise NotImplementedError

    @property
    def network(self) -> nn.Module:
        """The network whose layers can be tapped.

        Raises:
            RecipeError: this teacher has none to show.
        """
        raise RecipeError(
            f"the teacher {self.said} gives logits only: its layers can't be seen. Terms on feature maps need one "
            'teacher with float weights and runs = "auto" or "torch"'
        )

    def tap(self, names: Iterable[str]) -> None:
        """From now on give these layers' outputs too.

        Args:
            names: of modules of ``network``.
        Raises:
            RecipeError: no such layer, or a teacher without layers.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Give back what an engine holds; not to be asked after."""

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode."""
        return super().train(False)


class TorchTeacher(Teacher):
    """A float network."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        spec: InputSpec,
        *,
        said: str,
        fingerprint: str,
        own: Sequence[str],
        classes: Sequence[str],
        own_size: bool = True,
    ) -> None:
        """
        Args:
            network: normalised (N, C, H, W) → logits; frozen here.
            spec: its input.
            own_size: pictures are resized to the input's; otherwise they stay as they are.
        """
        super().__init__(said=said, fingerprint=fingerprint, own=own, classes=classes)
        self._network = network.requires_grad_(False)
        self.spec = spec
        self.own_size = own_size
        self.register_buffer("mean", _per_channel(spec.graph_mean), persistent=False)
        self.register_buffer("std", _per_channel(spec.graph_std), persistent=False)
        self._maps: dict[str, Tensor] = {}
        self._tapped: set[str] = set()
        self.eval()

    @property
    def network(self) -> nn.Module:
        """See ``Teacher.network``."""
        return self._network

    def look(self, pictures: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """See ``Teacher.look``."""
        fitted = fit_pictures(pictures, self.spec, resize=self.own_size)
        try:
            logits: Tensor = self._network((fitted - self.mean) / self.std)
            return logits, dict(self._maps)
        finally:
            self._maps.clear()

    def tap(self, names: Iterable[str]) -> None:
        """See ``Teacher.tap``."""
        modules = dict(self._network.named_modules())
        for name in names:
            if name in self._tapped:
                continue
            if name not in modules:
                raise RecipeError(f"the teacher {self.said} has no layer {name!r}")
            modules[name].register_forward_hook(_Keep(name, self._maps))
            self._tapped.add(name)


class _Keep:
    """A forward hook that puts a module's output under its name."""

    def __init__(self, name: str, maps: dict[str, Tensor]) -> None:
        self.name = name
        self.maps = maps

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self.maps[self.name] = output


def _per_channel(values: Sequence[float]) -> Tensor:
    """0–255 units → (1, C, 1, 1) in units of 0 to 1."""
    return (torch.tensor(values, dtype=torch.float64) / 255).float().view(1, -1, 1, 1)
