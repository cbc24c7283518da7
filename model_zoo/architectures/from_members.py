"""``ensemble:KIND``: several networks that answer as one, so that an ensemble is a bundle like any other.

``ensemble:mean`` answers the logarithm of the weighted mean of its members'
probabilities; ``ensemble:stacked`` gives their log-probabilities to a linear layer;
``ensemble:votes`` is one trunk whose linear heads vote. What they are made of is the
argument ``members``, JSON: a list of [how many, {"name", "arguments", and, where a
member's input is not the ensemble's: "scale", "shift", "size"}].
"""

import json
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from model_zoo.architectures import Argument, suggestion
from model_zoo.architectures.inputs import IMAGENET_INPUT
from model_zoo.errors import UnknownArchitectureError
from model_zoo.spec import InputSpec

KINDS = ("mean", "stacked", "votes")


class Member(nn.Module):
    """A network behind what turns the ensemble's input into its own."""

    def __init__(
        self,
        network: nn.Module,
        scale: Sequence[float] = (),
        shift: Sequence[float] = (),
        size: tuple[int, int] | None = None,
    ) -> None:
        """
        Args:
            scale, shift: by channel: its normalised input is ``scale · x + shift``; nothing where it is ``x``.
            size: (height, width) of its input; None for the ensemble's.
        """
        super().__init__()
        self.network = network
        self._size = size
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer("scale", torch.tensor(list(scale)).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("shift", torch.tensor(list(shift)).view(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), normalised for the ensemble → logits (N, classes)."""
        if self.scale.numel():
            x = x * self.scale + self.shift
        if self._size is not None:
            x = functional.interpolate(x, self._size, mode="bilinear", align_corners=False)
        logits: Tensor = self.network(x)
        return logits


class Mean(nn.Module):
    """Logarithm of the weighted mean of the members' probabilities, divided by a temperature."""

    def __init__(self, members: Sequence[nn.Module], weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        shares = torch.tensor(weights if weights is not None else [1.0] * len(members), dtype=torch.float64)
        self.log_weights: Tensor
        self.temperature: Tensor
        self.register_buffer("log_weights", (shares / shares.sum()).log().float())
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), normalised → logits (N, classes)."""
        rows = torch.stack([member(x).log_softmax(dim=1) for member in self.members])
        return (rows + self.log_weights.view(-1, 1, 1)).logsumexp(dim=0) / self.temperature


class Stacked(nn.Module):
    """A linear layer over the members' log-probabilities, side by side (Wolpert, 1992)."""

    def __init__(self, members: Sequence[nn.Module], num_classes: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.meta = nn.Linear(len(members) * num_classes, num_classes)
        self.temperature: Tensor
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), normalised → logits (N, classes)."""
        rows = torch.cat([member(x).log_softmax(dim=1) for member in self.members], dim=1)
        logits: Tensor = self.meta(rows) / self.temperature
        return logits


class Votes(nn.Module):
    """Linear heads on one trunk, each giving its weight to its best class (SAMME: Zhu et al., 2009)."""

    def __init__(self, trunk: nn.Module, features: int, heads: int, num_classes: int) -> None:
        """
        Args:
            trunk: normalised (N, C, H, W) → (N, features).
        """
        super().__init__()
        self.trunk = trunk
        self.heads = nn.Linear(features, heads * num_classes)
        self.alphas: Tensor
        self.temperature: Tensor
        self.register_buffer("alphas", torch.ones(heads))
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), normalised → logits (N, classes): the sum of the weights of the heads for each class."""
        scores = self.heads(self.trunk(x)).unflatten(1, (len(self.alphas), -1))
        votes = (scores == scores.amax(dim=2, keepdim=True)).to(scores.dtype)
        logits: Tensor = (votes * self.alphas.view(1, -1, 1)).sum(dim=1) / self.temperature
        return logits


def build(name: str, num_classes: int, **arguments: Argument) -> nn.Module:
    """An untrained ensemble.

    Args:
        name: one of ``KINDS``.
        arguments: ``members``; for "votes" also ``heads``, how many.
    Raises:
        UnknownArchitectureError: no such kind, or arguments that describe none.
    """
    if name not in KINDS:
        raise UnknownArchitectureError(f"no ensemble is named {name!r}{suggestion(name, KINDS)}")
    try:
        members = list(_members(str(arguments.pop("members")), num_classes))
        if name == "votes":
            trunk, features = without_head(members[0].network)
            return Votes(trunk, features, int(arguments.pop("heads")), num_classes)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UnknownArchitectureError(f"ensemble:{name} can't be built of {arguments}: {error!r}") from error
    return Mean(members) if name == "mean" else Stacked(members, num_classes)


def input_spec(name: str) -> InputSpec:
    """ImageNet's usual; the bundle of an ensemble says what it really takes."""
    if name not in KINDS:
        raise UnknownArchitectureError(f"no ensemble is named {name!r}{suggestion(name, KINDS)}")
    return IMAGENET_INPUT


def without_head(module: nn.Module) -> tuple[nn.Module, int]:
    """The network with its last linear layer taken off, in place, and how many features come out.

    Raises:
        ValueError: its last layer is not linear.
    """
    layers = [(name, part) for name, part in module.named_modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    if not layers or not isinstance(layers[-1][1], nn.Linear):
        raise ValueError("the network does not end in a linear layer")
    name, layer = layers[-1]
    width = layer.weight.shape[1]
    module.set_submodule(name, nn.Identity())
    return module, width


def _members(said: str, num_classes: int) -> Iterator[Member]:
    from model_zoo.architectures import build as build_any

    for count, one in json.loads(said):
        for _ in range(count):
            network = build_any(one["name"], num_classes, **one.get("arguments", {}))
            yield fitted(network, one)


def fitted(network: nn.Module, one: Mapping[str, list[float]]) -> Member:
    """A member as an entry of ``members`` says that its input comes from the ensemble's."""
    size = (int(one["size"][0]), int(one["size"][1])) if "size" in one else None
    return Member(network, one.get("scale", ()), one.get("shift", ()), size)
