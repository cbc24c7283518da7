"""A pruned network is an ordinary one: a bundle, the start of a training that its parent teaches, a bundle again."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model_zoo.bundle import Bundle, read_bundle
from model_zoo.export import Provenance, export_bundle
from model_zoo.onnx_run import open_graph
from model_zoo.weights import restore
from optimize.data.dataset import Task
from optimize.errors import CheckpointError
from optimize.pruning.options import PruneOptions
from optimize.pruning.prune import Pruned, prune
from optimize.training.finished import Finished
from optimize.training.network.build import build_network
from optimize.training.network.network import Network
from optimize.training.network.options import ModelOptions
from optimize.training.real_tools import open_network
from optimize.training.trainer import train
from tests.optimize.pruning.nets import pictures
from tests.optimize.training.small_runs import small_recipe, write_stripes


def bundle_of(network: Network, store: Path, name: str = "narrow") -> Bundle:
    return export_bundle(
        network.module,
        name=name,
        store=store,
        spec=network.spec,
        labels=network.tasks[0].classes,
        provenance=Provenance(licence="CC0-1.0", source="a test"),
        architecture=network.architecture,
    )


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stripes(tmp_path_factory.mktemp("data") / "stripes", classes=3, each=40)


@pytest.fixture(scope="module")
def parent(stripes: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    recipe = small_recipe(stripes, train={"epochs": 3, "batch_size": 10})
    return train(recipe, tmp_path_factory.mktemp("parent") / "run")


@pytest.fixture(scope="module")
def pruned(parent: Finished) -> Pruned:
    return prune(open_network(parent.folder.root), PruneOptions(macs=0.2))


@pytest.fixture(scope="module")
def bundle(pruned: Pruned, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle_of(pruned.network, tmp_path_factory.mktemp("store"))


def test_a_bundle_gives_the_pruned_network_back(pruned: Pruned, bundle: Bundle) -> None:
    again = restore(read_bundle(bundle.folder))
    batch = pictures(pruned.network, 4)
    assert torch.equal(again(batch), pruned.network.module(batch))
    shown = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 1), dtype=np.uint8)
    spec = bundle.spec.input
    normalised = (torch.from_numpy(shown).permute(0, 3, 1, 2).float() - spec.graph_mean[0]) / spec.graph_std[0]
    logits = open_graph(bundle.read_model(), "images")(shown)["logits"]
    np.testing.assert_allclose(logits, again(normalised).detach().numpy(), rtol=1e-3, atol=1e-4)


def test_a_recipe_that_starts_from_the_bundle_trains_the_narrow_network_and_it_recovers(
    stripes: Path, parent: Finished, pruned: Pruned, bundle: Bundle, tmp_path: Path
) -> None:
    recipe = small_recipe(
        stripes,
        model={"weights": str(bundle.folder)},
        teacher={"sources": [str(parent.folder.root)]},
        loss=[{"name": "cross_entropy", "weight": 0.1}],
        term=[{"name": "soft_label", "weight": 0.9}],
        train={"epochs": 3, "batch_size": 10, "ema": 0.9},
    )
    assert recipe.model.architecture == "grey28"

    finished = train(recipe, tmp_path / "run")

    assert finished.bundle is not None
    written = read_bundle(finished.bundle)
    assert written.spec.architecture == pruned.network.architecture
    before = accuracy(pruned.network, stripes)
    after = accuracy(open_network(tmp_path / "run"), stripes)
    assert before < 0.7 < 0.95 < after


def accuracy(network: Network, folder: Path) -> float:
    files = sorted(folder.glob("*/*.png"))
    spec = network.spec
    batch = torch.stack([torch.from_numpy(np.array(Image.open(file))) for file in files]).unsqueeze(1).float()
    labels = torch.tensor([network.tasks[0].classes.index(file.parent.name) for file in files])
    with torch.no_grad():
        return float(
            (network.module((batch - spec.graph_mean[0]) / spec.graph_std[0]).argmax(1) == labels).float().mean()
        )


def test_a_new_head_is_made_for_other_classes(bundle: Bundle, pruned: Pruned) -> None:
    options = ModelOptions(architecture="pruned:grey28", weights=str(bundle.folder))
    network = build_network(options, [Task("animal", ("ape", "bee", "cat", "dog"))], seed=0)
    again = dict(pruned.network.module.named_parameters())
    assert network.module(torch.zeros(2, 1, 16, 16)).shape == (2, 4)
    assert network.architecture.arguments["num_classes"] == 4
    assert all(
        torch.equal(one, again[name])
        for name, one in network.module.named_parameters()
        if not name.startswith("classifier")
    )


def test_the_bundles_own_arguments_stay_unless_the_recipe_says_others(bundle: Bundle, pruned: Pruned) -> None:
    theirs, tasks = pruned.network.architecture, pruned.network.tasks
    options = ModelOptions(architecture="grey28", weights=str(bundle.folder))
    assert build_network(options, tasks, seed=0).architecture == theirs
    mirrored = options.model_copy(update={"arguments": {"mirrored": True}})
    assert build_network(mirrored, tasks, seed=0).architecture.arguments == {**theirs.arguments, "mirrored": True}


def test_weights_of_another_pruned_network_are_refused(bundle: Bundle) -> None:
    options = ModelOptions(architecture="grey28_wide", weights=str(bundle.folder))
    with pytest.raises(CheckpointError, match="pruned:grey28, the recipe asks for grey28_wide"):
        build_network(options, [Task("stripe", ("a", "b"))], seed=0)
