"""A torch network as one plain graph: batch norms inside the convolutions before them, and the pooled features at hand.

``torch.fx`` writes down what the network calls. Convolutions are taken as they are, whatever their class: those that
pad like TensorFlow look at the input's size, which cannot be traced.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from server.backends.torch_engine.calls import CALLS

CLOSE = 1e-4  # of the largest pooled feature: what tells a mean over all places from anything else


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Conv2d) or super().is_leaf_module(m, module_qualified_name)


@dataclass(frozen=True, slots=True)
class Pooled:
    """Where logits come from: ``features`` (N, C, h, w), whose mean over the places goes into the layer ``linear``."""

    features: fx.Node
    linear: nn.Linear


def traced(network: nn.Module) -> fx.GraphModule:
    """A copy of a network in evaluation mode, traced, its batch norms folded.

    Raises:
        Exception: of many kinds, where the network decides by values what it calls.
    """
    network = copy.deepcopy(network).eval()
    with CALLS.tracing():
        graph = _Tracer().trace(network)
    module = fx.GraphModule(network, graph)
    modules = dict(module.named_modules())
    for convolution, norm in _pairs(module.graph, modules):
        _fold(modules[convolution], modules[norm])
        for node in list(module.graph.nodes):
            if node.op == "call_module" and node.target == norm:
                node.replace_all_uses_with(node.args[0])
                module.graph.erase_node(node)
    module.delete_all_unused_submodules()
    module.recompile()
    return module


def find_pooled(module: fx.GraphModule, example: Tensor) -> Pooled | None:
    """The features whose mean is what the last linear layer takes; None where that is not how the network ends.

    Args:
        module: of ``traced``.
        example: an input that is not the same in all places.
    """
    last = next(node for node in reversed(module.graph.nodes) if node.op == "output").args[0]
    if not isinstance(last, fx.Node) or last.op != "call_module":
        return None
    linear = module.get_submodule(str(last.target))
    if not isinstance(linear, nn.Linear):
        return None
    values = _Values(module)
    with torch.no_grad():
        values.run(example)
    pooled = values.of[last.all_input_nodes[0]]
    for node, value in reversed(values.of.items()):
        if value.ndim == 4 and value.shape[:2] == pooled.shape:
            error = (value.mean((2, 3)) - pooled).abs().max()
            if error <= CLOSE * pooled.abs().max():
                return Pooled(node, linear)
    return None


def with_features(module: fx.GraphModule, pooled: Pooled) -> fx.GraphModule:
    """The same network with two results: logits, and the features that are pooled. Shares its weights."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    logits = graph.graph_copy(module.graph, copies)
    graph.output((logits, copies[pooled.features]))
    return fx.GraphModule(module, graph)


class _Values(fx.Interpreter):
    """Runs a graph and keeps every tensor on the way."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.of: dict[fx.Node, Tensor] = {}

    def run_node(self, n: fx.Node) -> object:
        value: object = super().run_node(n)
        if isinstance(value, Tensor):
            self.of[n] = value
        return value


def _pairs(graph: fx.Graph, modules: dict[str, nn.Module]) -> list[tuple[str, str]]:
    """Convolutions and the batch norms that alone take their results, wherever the network calls either."""
    found: dict[str, str] = {}
    spoilt: set[str] = set()
    for node in graph.nodes:
        if node.op != "call_module":
            continue
        name, module = str(node.target), modules[str(node.target)]
        if isinstance(module, nn.BatchNorm2d):
            before = node.args[0]
            follows = before.op == "call_module" and isinstance(modules[str(before.target)], nn.Conv2d)
            if not follows or len(before.users) > 1 or found.setdefault(str(before.target), name) != name:
                spoilt |= {name, str(before.target)}
        elif isinstance(module, nn.Conv2d) and not _goes_to_norm(node, modules):
            spoilt.add(name)
    before_norm: dict[str, int] = {}
    for norm in found.values():
        before_norm[norm] = before_norm.get(norm, 0) + 1
    return [
        (convolution, norm)
        for convolution, norm in found.items()
        if convolution not in spoilt and norm not in spoilt and before_norm[norm] == 1
    ]


def _goes_to_norm(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    users = list(node.users)
    return (
        len(users) == 1 and users[0].op == "call_module" and isinstance(modules[str(users[0].target)], nn.BatchNorm2d)
    )


def _fold(convolution: nn.Module, norm: nn.Module) -> None:
    assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None
    convolution.weight, convolution.bias = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, mean, variance, norm.eps, norm.weight, norm.bias
    )
