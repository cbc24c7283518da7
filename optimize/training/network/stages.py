"""A network's parts from input to output: what is frozen, unfrozen and given its own learning rate as a whole.

Most networks say what their stages are by the way they are put together: the top-level
children, in the order in which they were registered, which is that of the data. Two
things are mended. Where the one child that holds blocks is a plain sequence
(``features``, ``blocks``), its children are the stages. And what has no weights, or
is a lone batch norm, belongs to the stage before it; dropout before the last layer
belongs to the head, so that what enters the head is the same for the same picture.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from optimize.errors import RecipeError
from optimize.training.tasks.soft_sharing import SoftSharing

_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
_DROPOUTS = (nn.modules.dropout._DropoutNd,)


@dataclass(frozen=True, slots=True)
class Stage:
    """One part.

    Attributes:
        name: of its first module, or "head".
        modules: name → module, in the order in which the data passes them.
        own: parameters that lie in none of the modules (a class token), name → parameter.
    """

    name: str
    modules: dict[str, nn.Module]
    own: dict[str, nn.Parameter]

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Every parameter of the part, by its name in the network."""
        yield from self.own.items()
        for name, module in self.modules.items():
            for key, parameter in module.named_parameters():
                yield f"{name}.{key}", parameter

    def parameters(self) -> Iterator[nn.Parameter]:
        """As ``named_parameters``, without the names."""
        for _, parameter in self.named_parameters():
            yield parameter

    @property
    def trains(self) -> bool:
        """Whether any of it gets a gradient."""
        return any(parameter.requires_grad for parameter in self.parameters())


def stages(module: nn.Module) -> tuple[Stage, ...]:
    """The parts of a network, the head last; every parameter is in exactly one.

    Raises:
        RecipeError: the network has fewer than two parts.
    """
    if isinstance(module, SoftSharing):
        return _side_by_side(module)
    found: list[Stage] = []
    waiting: dict[str, nn.Module] = {}
    for name, child in _parts(module):
        joins = found and (isinstance(child, _NORMS) or not _has_parameters(child))
        if joins and not isinstance(child, _DROPOUTS):
            found[-1].modules.update({**waiting, name: child})
            waiting = {}
        elif joins:
            waiting[name] = child
        else:
            found.append(Stage(name, {**waiting, name: child}, {}))
            waiting = {}
    if len(found) < 2:
        raise RecipeError(f"{type(module).__name__} is one piece: there are no stages to freeze or to tell apart")
    found[-1].modules.update(waiting)
    found[0].own.update(module.named_parameters(recurse=False))
    return (*found[:-1], Stage("head", found[-1].modules, found[-1].own))


def _side_by_side(module: SoftSharing) -> tuple[Stage, ...]:
    """The parts of networks of one kind: each stage is theirs together."""
    columns = [stages(network) for network in module.networks]
    joined = []
    for row in zip(*columns, strict=True):
        modules: dict[str, nn.Module] = {}
        own: dict[str, nn.Parameter] = {}
        for number, stage in enumerate(row):
            modules |= {f"networks.{number}.{name}": part for name, part in stage.modules.items()}
            own |= {f"networks.{number}.{name}": part for name, part in stage.own.items()}
        joined.append(Stage(row[0].name, modules, own))
    return tuple(joined)


def _parts(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    children = list(module.named_children())
    taken_apart = _trunk(children)
    for name, child in children:
        if child is taken_apart:
            yield from ((f"{name}.{key}", part) for key, part in child.named_children())
        else:
            yield name, child


def _trunk(children: list[tuple[str, nn.Module]]) -> nn.Module | None:
    """The one child that holds blocks, where it is a plain sequence of them."""
    with_blocks = [child for _, child in children if any(any(part.children()) for part in child.children())]
    if len(with_blocks) == 1 and type(with_blocks[0]) in (nn.Sequential, nn.ModuleList):
        return with_blocks[0]
    return None


def _has_parameters(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None
