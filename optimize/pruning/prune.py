"""One step of pruning: a network in, a narrower one out."""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor, nn

from model_zoo.architectures import PRUNED, build
from model_zoo.architectures.pruned import describe, narrow, sized_layers, widths
from model_zoo.errors import ModelZooError
from model_zoo.spec import ArchitectureRef
from optimize.errors import PassError, RecipeError
from optimize.pruning.cost import cost_of, multiply_adds
from optimize.pruning.criterion import Evidence, LabelledBatch
from optimize.pruning.groups import ChannelGroup, channel_groups
from optimize.pruning.options import PruneOptions
from optimize.pruning.selection import ranking_of, select
from optimize.training.batch_norm import frozen_norms, reestimate
from optimize.training.network.network import Network
from optimize.training.tasks.soft_sharing import SoftSharing


@dataclass(frozen=True, slots=True)
class LayerWidths:
    """Channels that come into a layer and go out of it, before and after."""

    name: str
    before: tuple[int, int]
    after: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What ``prune`` makes.

    Attributes:
        network: in evaluation mode; fine-tune it, or export it as it is.
        macs: share of the unpruned network's multiply-adds that is left, as counted.
        parameters: likewise.
        layers: every convolution, linear layer and batch norm, in the order of registration.
    """

    network: Network
    macs: float
    parameters: float
    layers: tuple[LayerWidths, ...]


def prune(
    network: Network,
    options: PruneOptions,
    batches: Iterable[LabelledBatch] | None = None,
    *,
    seed: int = 0,
    step: int | None = None,
    unpruned: Network | None = None,
) -> Pruned:
    """Cut the channels that matter least, and what goes with them; the same for one seed on one CPU.

    Args:
        network: not changed; it may be pruned already.
        batches: normalised pictures with rows of probabilities, on the network's device; a list or
            anything else that can be gone through twice. For ``taylor`` and ``reestimate`` alone.
        step: of ``options.steps``, from 1; the last by default, which for one step is all.
        unpruned: what shares are of; ``network`` by default.
    Raises:
        RecipeError: a share that can't be reached, a criterion without its batches, an unknown layer in ``keep``.
        PassError: a network that can't be pruned.
    """
    _require_prunable(network, options, batches)
    whole = unpruned or network
    macs = multiply_adds(whole.module, _example(whole))
    module = copy.deepcopy(network.module).eval().requires_grad_(True)
    before = {name: widths(layer) for name, layer in sized_layers(module).items()}
    groups = channel_groups(module, _example(network), options.keep)
    scores = options.criterion.choice.scores(groups, Evidence(module, network.slices, batches, seed))
    ranking = ranking_of(groups, scores, options)
    cost = cost_of(module, _example(network), ranking.groups)
    wanted = options.share_after(options.steps if step is None else step) * macs
    cut(module, ranking.groups, ranking.best(select(ranking, cost, wanted)))
    _restore_gradients(module, network.module)
    share = _multiply_adds(network, module) / macs
    if options.reestimate:
        inputs = (pictures for pictures, _ in islice(batches or (), options.reestimate))
        reestimate(module, inputs, keep=frozen_norms(network))
    note = f"pruned to {share:.1%} of the multiply-adds by {options.criterion.name}"
    return Pruned(
        network=replace(
            network, module=module, architecture=_architecture(network, module), notes=(*network.notes, note)
        ),
        macs=share,
        parameters=_parameters(module) / _parameters(whole.module),
        layers=tuple(LayerWidths(name, before[name], widths(layer)) for name, layer in sized_layers(module).items()),
    )


def cut(module: nn.Module, groups: Sequence[ChannelGroup], kept: Sequence[Tensor]) -> None:
    """Keep those channels of each group alone, in place; ``groups`` are those of ``module``."""
    gone: dict[tuple[str, bool], list[Tensor]] = {}
    for group, channels in zip(groups, kept, strict=True):
        for part in group.parts:
            lost = ~torch.isin(part.channels, channels)
            gone.setdefault((part.name, part.outputs), []).append(part.positions[lost])
    for name, layer in sized_layers(module).items():
        inputs, outputs = (
            _left(size, gone.get((name, side), ())) for size, side in zip(widths(layer), (False, True), strict=True)
        )
        if (len(inputs), len(outputs)) != widths(layer):
            device = next(layer.parameters()).device
            narrow(layer, inputs.to(device), outputs.to(device))


def _left(size: int, gone: Iterable[Tensor]) -> Tensor:
    stays = torch.ones(size, dtype=torch.bool)
    for positions in gone:
        if len(positions) and int(positions.max()) >= size:
            raise PassError("this network can't be pruned: where its channels go can't be followed")
        stays[positions] = False
    return stays.nonzero().flatten()


def _require_prunable(network: Network, options: PruneOptions, batches: Iterable[LabelledBatch] | None) -> None:
    if network.architecture.name.startswith("ensemble:"):
        raise PassError("an ensemble can't be pruned as a whole: prune its members, and make the ensemble of them")
    if isinstance(network.module, SoftSharing):
        raise PassError("networks that share softly can't be pruned together: prune each task's own")
    if batches is None and options.criterion.choice.needs_batches:
        raise RecipeError(f"the criterion {options.criterion.name} needs labelled batches: give some, or choose l2")
    if batches is None and options.reestimate:
        raise RecipeError("reestimate: batch norms are estimated anew from batches; give some, or leave it at 0")


def _architecture(network: Network, module: nn.Module) -> ArchitectureRef:
    """The entry that builds ``module`` again.

    Raises:
        PassError: none does: something besides the layers has changed its width.
    """
    name = PRUNED + network.architecture.name.removeprefix(PRUNED)
    try:
        arguments = {**network.architecture.arguments, "layers": describe(module)}
        own = {key: value for key, value in arguments.items() if key != "num_classes"}
        with torch.device("meta"):
            again = build(name, network.slices[-1].stop, **own)
    except ModelZooError as error:
        raise PassError(f"{network.architecture.name} can't be pruned: {error}") from error
    if _shapes(again) != _shapes(module):
        raise PassError(f"{network.architecture.name} can't be pruned: {name} does not build what is left of it again")
    return ArchitectureRef(name, arguments)


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def _multiply_adds(network: Network, module: nn.Module) -> float:
    try:
        return multiply_adds(module, _example(network))
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise PassError(f"{network.architecture.name} does not run with fewer channels: {reason}") from error


def _example(network: Network) -> Tensor:
    spec = network.spec
    first = next(network.module.parameters())
    return torch.zeros(1, spec.channels, spec.height, spec.width, device=first.device, dtype=first.dtype)


def _restore_gradients(module: nn.Module, given: nn.Module) -> None:
    """Gradients where they were, and none in memory."""
    module.zero_grad(set_to_none=True)
    wanted = dict(given.named_parameters())
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(wanted[name].requires_grad)


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
