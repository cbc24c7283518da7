"""Members, whatever their inputs, as parts of one network that a bundle can hold."""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import nn

from model_zoo.architectures import from_members
from model_zoo.spec import ArchitectureRef, InputSpec
from optimize.ensembles.workshop import Made, Member
from optimize.errors import RecipeError
from optimize.training.network.network import Network

# As long as an argument in a manifest may be.
_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class Parts:
    """Members behind one input.

    Attributes:
        spec: of the member with the largest input.
        modules: take the ensemble's normalised input, give logits in the order of ``classes``, the data's.
        said: the argument ``members`` that builds them again.
    """

    spec: InputSpec
    classes: tuple[str, ...]
    modules: tuple[nn.Module, ...]
    said: str


def parts_of(members: Sequence[Member]) -> Parts:
    """Bring members behind one input.

    Raises:
        RecipeError: some take grey pictures and some coloured ones.
    """
    networks = [member.network for member in members]
    spec = max((one.spec for one in networks), key=lambda one: one.height * one.width)
    classes = networks[0].tasks[0].classes
    modules, said = [], []
    for member in members:
        network = member.network
        if network.spec.colour != spec.colour:
            raise RecipeError(f"{member.name} takes {network.spec.colour} pictures, others {spec.colour} ones")
        own = _input_of(network.spec, spec)
        modules.append(from_members.fitted(network.module, own))
        arguments = {key: value for key, value in network.architecture.arguments.items() if key != "num_classes"}
        said.append({"name": network.architecture.name, **({"arguments": arguments} if arguments else {}), **own})
    return Parts(spec, classes, tuple(modules), _grouped(said))


def mean_of(
    members: Sequence[Member], weights: Sequence[float] | None = None, facts: dict[str, Any] | None = None
) -> Made:
    """The ensemble that answers the weighted mean of probabilities; members of weight 0 are left out.

    Raises:
        RecipeError: see ``parts_of``.
    """
    shares = [1.0] * len(members) if weights is None else list(weights)
    used = [(member, share) for member, share in zip(members, shares, strict=True) if share > 0]
    parts = parts_of([member for member, _ in used])
    module = from_members.Mean(parts.modules, [share for _, share in used])
    total = sum(shares)
    return made(module, "mean", parts, {}, members, tuple(share / total for share in shares), facts)


def made(
    module: "from_members.Mean | from_members.Stacked | from_members.Votes",
    kind: str,
    parts: Parts,
    arguments: dict[str, int],
    members: Sequence[Member],
    weights: tuple[float, ...] | None = None,
    facts: dict[str, Any] | None = None,
) -> Made:
    """Name what was put together."""
    task = members[0].network.tasks[0]
    reference = ArchitectureRef(
        f"ensemble:{kind}", {"num_classes": len(parts.classes), "members": parts.said, **arguments}
    )
    network = Network(module=module.eval(), spec=parts.spec, architecture=reference, tasks=(task,))

    def set_temperature(value: float) -> None:
        module.temperature.fill_(value)

    return Made(network, set_temperature, tuple(members), weights, facts or {})


def plain(network: Network, members: Sequence[Member], facts: dict[str, Any]) -> Made:
    """An ensemble that has become one ordinary network."""
    from optimize.training.export_run import divide_logits

    def set_temperature(value: float) -> None:
        divide_logits(network.module, value)

    return Made(network, set_temperature, tuple(members), None, facts)


def copied(network: Network) -> nn.Module:
    """The network's module, to be changed freely."""
    return copy.deepcopy(network.module)


def _input_of(own: InputSpec, spec: InputSpec) -> dict[str, list[float]]:
    """How a member's normalised input comes out of the ensemble's; empty where they are the same."""
    found: dict[str, list[float]] = {}
    if (own.graph_mean, own.graph_std) != (spec.graph_mean, spec.graph_std):
        channels = list(zip(spec.graph_mean, spec.graph_std, own.graph_mean, own.graph_std, strict=True))
        found["scale"] = [std / own_std for _, std, _, own_std in channels]
        found["shift"] = [(mean - own_mean) / own_std for mean, _, own_mean, own_std in channels]
    if (own.height, own.width) != (spec.height, spec.width):
        found["size"] = [own.height, own.width]
    return found


def _grouped(said: list[dict[str, Any]]) -> str:
    groups: list[list[Any]] = []
    for one in said:
        if groups and groups[-1][1] == one:
            groups[-1][0] += 1
        else:
            groups.append([1, one])
    text = json.dumps(groups, separators=(",", ":"))
    if len(text) > _LONGEST:
        raise RecipeError(f"{len(said)} members of so many kinds are more than a bundle can name; take fewer kinds")
    return text


def log_probabilities(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log softmax by row, (N, classes)."""
    rows: NDArray[np.float64] = log_softmax(logits.astype(np.float64), axis=1)
    return rows
