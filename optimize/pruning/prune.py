"""One step of pruning: a network in, a narrower one out."""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor, nn

from model_zoo.architectures import PRUNED, build
from model_zoo.architectures.pruned import describe, sized_layers, widths
from model_zoo.errors import ModelZooError
from model_zoo.spec import ArchitectureRef
from optimize.errors import PassError, RecipeError
from optimize.pruning.cost import Cost, cost_of, multiply_adds
from optimize.pruning.criterion import Evidence, LabelledBatch
from optimize.pruning.dead_channels import Lost, remove, require_right
from optimize.pruning.groups import ChannelGroup, channel_groups
from optimize.pruning.latency import Clock, curves, order_by_time, select_in_time
from optimize.pruning.options import PruneOptions
from optimize.pruning.selection import Ranking, order, scored, select
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
    clock: Clock | None = None,
) -> Pruned:
    """Cut the channels that matter least, and what goes with them; the same for one seed on one CPU.

    Args:
        network: not changed; it may be pruned already.
        batches: normalised pictures with rows of probabilities, on the network's device; a list or
            anything else that can be gone through twice. For ``taylor`` and ``reestimate`` alone.
        step: of ``options.steps``, from 1; the last by default, which for one step is all.
        unpruned: what shares are of; ``network`` by default.
        clock: for ``latency``, as a share or a scope: the time of networks of given widths, of ``unpruned``'s.
    Raises:
        RecipeError: a share that can't be reached, a criterion without its batches, an unknown layer in ``keep``,
            no clock where one is needed.
        PassError: a network that can't be pruned.
    """
    _require_prunable(network, options, batches)
    if clock is None and options.is_timed:
        raise RecipeError("latency: how long narrower networks take must be measured; give a clock, or say macs")
    whole = unpruned or network
    macs = multiply_adds(whole.module, _example(whole))
    module = copy.deepcopy(network.module).eval().requires_grad_(True)
    before = {name: widths(layer) for name, layer in sized_layers(module).items()}
    groups = channel_groups(module, _example(network), options.keep)
    scores = options.criterion.choice.scores(groups, Evidence(module, network.slices, batches, seed))
    groups, heard = scored(groups, scores, options)
    cost = cost_of(module, _example(network), groups)
    ranking = Ranking(groups, heard, _order(groups, heard, options, cost, clock), options.round_to)
    wanted = options.share_after(options.steps if step is None else step)
    if options.latency is not None and clock is not None:
        counts = select_in_time(ranking, cost, clock, wanted)
    else:
        counts = select(ranking, cost, wanted * macs)
    lost = lost_positions(groups, ranking.best(counts))
    require_right(module, lost, _example(network))
    remove(module, lost)
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


def _order(
    groups: Sequence[ChannelGroup], scores: Sequence[Tensor], options: PruneOptions, cost: Cost, clock: Clock | None
) -> Tensor:
    if options.scope == "latency" and clock is not None:
        return order_by_time(scores, curves(groups, cost, clock, options.round_to), options.round_to)
    return order(scores, is_global=options.scope == "global")


def lost_positions(groups: Sequence[ChannelGroup], kept: Sequence[Tensor]) -> Lost:
    """What layers lose when each group keeps those of its channels alone."""
    gone: dict[tuple[str, bool], list[Tensor]] = {}
    for group, channels in zip(groups, kept, strict=True):
        for part in group.parts:
            positions = part.positions[~torch.isin(part.channels, channels)]
            gone.setdefault((part.name, part.outputs), []).append(positions)
    return {side: torch.cat(positions) for side, positions in gone.items()}


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
