"""Ensembles of zoo networks as bundles: the graph says what torch says, and the bundle builds the network again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from model_zoo.architectures import build
from model_zoo.architectures.from_members import Stacked, Votes, without_head
from model_zoo.bundle import Bundle
from model_zoo.export import INPUT_NAME, Provenance, export_bundle
from model_zoo.onnx_run import open_graph
from model_zoo.spec import ArchitectureRef, InputSpec, Resize
from optimize.data.dataset import Task
from optimize.ensembles.composite import copied, made, mean_of, parts_of
from optimize.ensembles.workshop import Made, Member
from optimize.errors import RecipeError
from optimize.training.network.network import Network
from optimize.training.real_tools import open_network

CLASSES = tuple("abcde")
LARGE = InputSpec(28, 28, 1, "grey", Resize("stretch", 0), "none", (73.0,), (90.0,))
SMALL = InputSpec(20, 20, 1, "grey", Resize("stretch", 0), "none", (100.0,), (50.0,))


def member(seed: int, spec: InputSpec = LARGE) -> Member:
    """A network whose batch norms have seen something."""
    torch.manual_seed(seed)
    module = build("grey28", len(CLASSES))
    module.train()
    with torch.no_grad():
        for _ in range(3):
            module(torch.randn(8, 1, spec.height, spec.width))
    reference = ArchitectureRef("grey28", {"num_classes": len(CLASSES)})
    network = Network(module=module.eval(), spec=spec, architecture=reference, tasks=(Task("label", CLASSES),))
    return Member(str(seed), network)


def mean() -> Made:
    return mean_of([member(1), member(2, SMALL), member(3)], [2.0, 1.0, 1.0])


def stacked() -> Made:
    members = [member(1), member(2)]
    parts = parts_of(members)
    return made(Stacked(parts.modules, len(CLASSES)), "stacked", parts, {}, members)


def votes() -> Made:
    trunk = member(1)
    body, width = without_head(copied(trunk.network))
    module = Votes(body, width, 3, len(CLASSES))
    module.alphas.copy_(torch.tensor([1.0, 0.7, 0.4]))
    return made(module, "votes", parts_of([trunk]), {"heads": 3}, [trunk])


def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 28, 28, 1), dtype=np.uint8)


def answers(network: Network) -> Tensor:
    """Of the network's own normalised input."""
    x = (
        torch.from_numpy(pictures()).permute(0, 3, 1, 2).float() - network.spec.graph_mean[0]
    ) / network.spec.graph_std[0]
    with torch.no_grad():
        found: Tensor = network.module(x)
    return found


def exported(found: Made, store: Path) -> Bundle:
    return export_bundle(
        found.network.module,
        name="together",
        store=store,
        spec=found.network.spec,
        labels=CLASSES,
        provenance=Provenance(licence="none", source="a test"),
        architecture=found.network.architecture,
    )


@pytest.mark.parametrize("make", [mean, stacked, votes])
def test_a_bundle_answers_as_torch_and_builds_the_network_again(make: Callable[[], Made], tmp_path: Path) -> None:
    found = make()
    found.set_temperature(1.7)
    bundle = exported(found, tmp_path)
    expected = answers(found.network)
    graph = open_graph(bundle.read_model(), INPUT_NAME)(pictures())["logits"]
    assert np.allclose(graph, expected.numpy(), atol=1e-4 * float(expected.abs().max()))
    again = open_network(bundle.folder)
    assert again.architecture == found.network.architecture
    assert torch.allclose(answers(again), expected, atol=1e-6)


def test_members_of_other_inputs_see_what_their_own_bundle_would_show_them() -> None:
    """But for the resize, which the ensemble does once more: so the pictures here are of one colour."""
    small = member(2, SMALL)
    together = mean_of([member(1), small], [0.0, 1.0])
    spec = together.network.spec
    assert spec == SMALL, "a member of no weight has no say in the input"
    both = mean_of([member(1), small], [1e-6, 1.0])
    assert both.network.spec == LARGE
    with torch.no_grad():
        seen = both.network.module(torch.full((1, 1, 28, 28), (140 - 73.0) / 90.0))
        own = small.network.module(torch.full((1, 1, 20, 20), (140 - 100.0) / 50.0))
    assert torch.allclose(seen, own.log_softmax(1), atol=1e-4)


def test_grey_and_colour_do_not_mix() -> None:
    colour = InputSpec(28, 28, 3, "rgb", Resize("stretch", 0), "none", (1.0,) * 3, (1.0,) * 3)
    other = member(2)
    with pytest.raises(RecipeError, match="takes rgb pictures, others grey"):
        mean_of([member(1), Member("x", replace(other.network, spec=colour))])
