"""What each task is served as: its trunk and its head alone, built anew from the architecture.

Built anew means that nothing of training hangs on it: no hook, no shared tensor, and
the float weights fit the architecture's entry again.
"""

from dataclasses import replace

from torch import Tensor, nn

from model_zoo.architectures import build
from model_zoo.spec import ArchitectureRef
from optimize.training.network.head import copy_rows, head
from optimize.training.network.network import Network
from optimize.training.tasks.soft_sharing import SoftSharing


def task_networks(network: Network) -> dict[str, Network]:
    """A network for each task, by the task's name, in evaluation mode, on the CPU.

    With one task it is the network itself, as it is to be exported.
    """
    return {task.name: _alone(network, number) for number, task in enumerate(network.tasks)}


def task_modules(network: Network) -> dict[str, nn.Module]:
    """As ``task_networks``, the modules alone: normalised (N, C, H, W) → logits (N, the task's classes)."""
    return {name: alone.module for name, alone in task_networks(network).items()}


def _alone(network: Network, number: int) -> Network:
    task = network.tasks[number]
    arguments = {key: value for key, value in network.architecture.arguments.items() if key != "num_classes"}
    module = build(network.architecture.name, len(task.classes), **arguments)
    module.load_state_dict(_state(network, number))
    return replace(
        network,
        module=module.eval(),
        architecture=ArchitectureRef(network.architecture.name, {**arguments, "num_classes": len(task.classes)}),
        tasks=(task,),
    )


def _state(network: Network, number: int) -> dict[str, Tensor]:
    """The task's tensors: all of its own network, or of the shared one with its rows of the head."""
    if isinstance(network.module, SoftSharing):
        return network.module.networks[number].state_dict()
    where = network.slices[number]
    return copy_rows(network.module.state_dict(), head(network.module).keys, range(where.start, where.stop))
