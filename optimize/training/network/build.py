"""From ``[model]`` of a recipe to a network: built, given its starting weights and a head for the classes.

A head is kept when its classes are those of the data, whatever their order (a checkpoint
that does not name its classes counts as of the same ones when their number fits); any
other is left out, and the new one starts from the zoo's small normal weights.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from model_zoo.architectures import PRUNED, build, input_spec
from model_zoo.errors import ModelZooError
from model_zoo.spec import ArchitectureRef, InputSpec
from optimize.data.dataset import Task
from optimize.errors import CheckpointError, RecipeError
from optimize.seeding import stream_seed
from optimize.training.network.batch_norm_choices import choose_momentum
from optimize.training.network.head import copy_rows, head
from optimize.training.network.network import Network
from optimize.training.network.options import ModelOptions
from optimize.training.network.starting_weights import StartingWeights, read_starting_weights
from optimize.training.network.stochastic_depth import choose_dropout, drop_paths
from optimize.training.tasks.soft_sharing import SoftSharing
from optimize.training.weights_digest import weights_digest


def build_network(options: ModelOptions, tasks: Sequence[Task], seed: int) -> Network:
    """Make the network to train, on the CPU, in training mode.

    Args:
        options: ``[model]`` of the recipe.
        tasks: what the pictures are labelled with; one for ordinary classification.
        seed: of the run; new weights depend on it and on nothing else.
    Raises:
        RecipeError: no such architecture or argument, or an input that it can't take.
        CheckpointError: starting weights that can't be read, or are of another network.
    """
    try:
        usual = input_spec(options.architecture)
    except ModelZooError as error:
        raise RecipeError(f"model.architecture: {error}") from error
    weights = read_starting_weights(options.weights, options.architecture) if options.weights else None
    options = _as_narrow(options, weights)
    soft = options.sharing == "soft" and len(tasks) > 1
    made = [_one(options, part, weights, seed) for part in (_split(tasks) if soft else (tuple(tasks),))]
    spec = _sized((weights and weights.spec) or usual, options)
    module = _tied([module for module, _ in made]) if soft else made[0][0]
    total = len(tasks[0].classes) if soft else sum(len(task.classes) for task in tasks)
    network = Network(
        module=module,
        spec=spec,
        architecture=ArchitectureRef(options.architecture, {**options.arguments, "num_classes": total}),
        tasks=tuple(tasks),
        frozen_statistics=options.batch_norm == "frozen",
        start=weights_digest(weights.state) if weights is not None else None,
        notes=tuple(dict.fromkeys(note for _, notes in made for note in notes)),
    )
    _try(network)
    _choose_behaviour(network, options)
    network.train()
    return network


def _as_narrow(options: ModelOptions, weights: StartingWeights | None) -> ModelOptions:
    """The options of the network that pruned weights are of; what the recipe says of its arguments goes first."""
    theirs = weights.architecture if weights else None
    if theirs is None or not theirs.name.startswith(PRUNED):
        return options
    own = {key: value for key, value in theirs.arguments.items() if key != "num_classes"}
    return options.model_copy(update={"architecture": theirs.name, "arguments": {**own, **options.arguments}})


def _tied(networks: list[nn.Module]) -> SoftSharing:
    tied = SoftSharing(networks)
    tied.start_alike()
    return tied


def _split(tasks: Sequence[Task]) -> tuple[tuple[Task, ...], ...]:
    return tuple((task,) for task in tasks)


def _one(
    options: ModelOptions, tasks: tuple[Task, ...], weights: StartingWeights | None, seed: int
) -> tuple[nn.Module, list[str]]:
    """A trunk with the heads of ``tasks`` side by side, and what was done to the weights."""
    classes = [name for task in tasks for name in task.classes]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "network", *(task.name for task in tasks)))
        try:
            module = build(options.architecture, len(classes), **options.arguments)
        except (ModelZooError, TypeError, ValueError) as error:
            raise RecipeError(f"model: {error}") from error
    if weights is None:
        return module, ["the weights start at random"]
    return module, [_start(module, weights, classes)]


def _start(module: nn.Module, weights: StartingWeights, classes: list[str]) -> str:
    """Copy the weights into ``module``; what is said of it."""
    from model_zoo.key_names import convert_keys
    from model_zoo.weights import fit_weights

    own, keys = module.state_dict(), head(module).keys
    state: dict[str, Tensor] = convert_keys(weights.state, own)
    kept, state = _kept_head(keys, state, weights.classes, classes)
    if weights.is_trunk:
        state = {**own, **state}
    elif not kept:
        state |= {key: own[key] for key in keys}
    try:
        fit_weights(module, state)
    except ModelZooError as error:
        raise CheckpointError(f"{weights.found}: {error}") from error
    head_said = "the head is kept" if kept else f"a new head for {len(classes)} classes"
    return f"the weights start from {weights.said}; {head_said}"


def _kept_head(
    keys: Sequence[str], state: dict[str, Tensor], theirs: tuple[str, ...] | None, ours: list[str]
) -> tuple[bool, dict[str, Tensor]]:
    """Whether the head stays, and the state with its rows in our classes' order."""
    there = [state[key] for key in keys if key in state]
    if not there:
        return False, state
    if theirs is None:
        return all(value.ndim > 0 and len(value) == len(ours) for value in there), state
    if len(set(ours)) != len(ours) or sorted(theirs) != sorted(ours) or any(len(v) != len(ours) for v in there):
        return False, state
    place = {name: index for index, name in enumerate(theirs)}
    return True, copy_rows(state, keys, [place[name] for name in ours])


def _sized(spec: InputSpec, options: ModelOptions) -> InputSpec:
    """The input at the recipe's size, and with a batch of any size."""
    height = options.height or options.width or spec.height
    width = options.width or options.height or spec.width
    return replace(spec.at_size(height, width), max_batch=None)


def _try(network: Network) -> None:
    """Run one blank picture through, so that a wrong size is said before any data is read."""
    spec = network.spec
    network.module.eval()
    try:
        with torch.no_grad():
            logits = network.module(torch.zeros(1, spec.channels, spec.height, spec.width))
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise RecipeError(
            f"{network.architecture.name} can't take pictures of {spec.height}×{spec.width} px: {reason}"
        ) from error
    wanted = (1, network.slices[-1].stop)
    if tuple(logits.shape) != wanted:
        raise RecipeError(f"{network.architecture.name} gives outputs of {tuple(logits.shape)}, not logits {wanted}")


def _choose_behaviour(network: Network, options: ModelOptions) -> None:
    networks = network.module.networks if isinstance(network.module, SoftSharing) else [network.module]
    for module in networks:
        if options.dropout is not None:
            choose_dropout(module, options.dropout)
        if options.drop_path:
            drop_paths(module, options.drop_path)
        if options.batch_norm_momentum is not None:
            choose_momentum(module, options.batch_norm_momentum)
