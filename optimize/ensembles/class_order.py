"""Networks that are there already, with their classes in the order of the data.

Labels are numbers, and a network's are those of the data it was trained on: another
order of the same names must be turned before a label is held against an answer.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from model_zoo.architectures import from_members
from optimize.errors import RecipeError
from optimize.training.network.head import copy_rows, head
from optimize.training.network.network import Network

SHOWN = 5


def in_class_order(network: Network, classes: tuple[str, ...], name: str) -> Network:
    """The network, or a copy that gives the same logits in another order.

    Args:
        network: of one task.
        classes: of the data.
        name: how messages call the network.
    Returns:
        Logits (N, classes), ``tasks[0].classes == classes``.
    Raises:
        RecipeError: it knows other classes, or one twice; the message names some.
    """
    task = network.tasks[0]
    if task.classes == classes:
        return network
    _refuse_others(task.classes, classes, name)
    module = copy.deepcopy(network.module)
    _turn(module, [task.classes.index(one) for one in classes])
    return replace(network, module=module, tasks=(replace(task, classes=classes),))


def _refuse_others(own: tuple[str, ...], classes: tuple[str, ...], name: str) -> None:
    lists = {"only the data have": set(classes) - set(own), "only it has": set(own) - set(classes)}
    if differences := [f"{who} {_some(sorted(names))}" for who, names in lists.items() if names]:
        raise RecipeError(
            f"{name} knows other classes than the data: {'; '.join(differences)}. "
            "Name a network of the data's classes, or train one that begins from it (model.weights)"
        )
    if len(set(own)) != len(own):
        raise RecipeError(f"{name} has a class name twice, so its classes can't be told by their names")


def _some(names: list[str]) -> str:
    return ", ".join(map(repr, names[:SHOWN])) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _turn(module: nn.Module, rows: Sequence[int]) -> None:
    """Logit ``rows[k]`` becomes logit ``k``, in place."""
    if isinstance(module, from_members.Mean):
        for member in module.members:
            _turn(member, rows)
    elif isinstance(module, from_members.Member):
        _turn(module.network, rows)
    else:
        if isinstance(module, from_members.Votes):
            rows = [start * len(rows) + row for start in range(len(module.alphas)) for row in rows]
        module.load_state_dict(copy_rows(module.state_dict(), head(module).keys, rows))
