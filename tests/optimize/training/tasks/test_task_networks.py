"""Networks of several tasks, and what each task is served as."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model_zoo.export import Provenance, export_bundle
from model_zoo.onnx_run import open_graph
from model_zoo.weights import restore
from optimize.training.network.network import Network
from optimize.training.tasks.soft_sharing import SoftSharing
from optimize.training.tasks.task_networks import task_modules, task_networks
from tests.optimize.training.network.small import ANIMALS, COLOURS, grey_pictures, small_network


@pytest.fixture(params=["hard", "soft"])
def network(request: pytest.FixtureRequest) -> Network:
    """Two tasks, with hooks and statistics of training on it."""
    made = small_network(ANIMALS, COLOURS, sharing=request.param, drop_path=0.3, dropout=0.2)
    made.module(grey_pictures(8))
    return made


def test_each_tasks_module_gives_its_part_of_the_logits(network: Network) -> None:
    alone = task_modules(network)
    logits = network.module.eval()(grey_pictures())
    assert list(alone) == ["animal", "colour"]
    for module, part in zip(alone.values(), network.slices, strict=True):
        torch.testing.assert_close(module(grey_pictures()), logits[:, part])


def test_the_parts_share_no_memory_with_the_network(network: Network) -> None:
    before = network.module.eval()(grey_pictures())
    for module in task_modules(network).values():
        for parameter in module.parameters():
            parameter.data.zero_()
    assert torch.equal(network.module(grey_pictures()), before)


def test_each_says_how_it_is_built_again(network: Network) -> None:
    alone = task_networks(network)
    assert alone["animal"].architecture.arguments == {"num_classes": 3}
    assert alone["colour"].architecture.arguments == {"num_classes": 2}
    assert alone["colour"].tasks == (COLOURS,)


def test_one_task_is_the_network_without_its_hooks() -> None:
    network = small_network(drop_path=0.5)
    module = task_modules(network)["animal"]
    assert torch.equal(module(grey_pictures()), network.module.eval()(grey_pictures()))
    assert sum(len(part._forward_hooks) for part in module.modules()) == 0


def test_each_task_becomes_a_bundle(network: Network, tmp_path: Path) -> None:
    """Of its own labels, with float weights, and saying what the network says in training."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 1), dtype=np.uint8)
    normalised = (torch.from_numpy(pixels).permute(0, 3, 1, 2) - network.spec.graph_mean[0]) / network.spec.graph_std[0]
    with torch.no_grad():
        logits = network.module.eval()(normalised)
    for (name, alone), part in zip(task_networks(network).items(), network.slices, strict=True):
        bundle = export_bundle(
            alone.module,
            name=f"pets-{name}",
            store=tmp_path,
            spec=alone.spec,
            labels=alone.tasks[0].classes,
            provenance=Provenance(licence="none", source="a test"),
            architecture=alone.architecture,
        )
        said = open_graph(bundle.read_model(), "images")(pixels)["logits"]
        np.testing.assert_allclose(said, logits[:, part].numpy(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(restore(bundle)(normalised), logits[:, part])


def test_corresponding_weights_are_the_trunks() -> None:
    network = small_network(ANIMALS, COLOURS, sharing="soft")
    assert isinstance(network.module, SoftSharing)
    rows = list(network.module.corresponding())
    trunk = [key for key, _ in network.module.networks[0].named_parameters() if not key.startswith("classifier")]
    assert len(rows) == len(trunk)
    assert all(torch.equal(*row) for row in rows)
    assert not any(row[0] is row[1] for row in rows)
