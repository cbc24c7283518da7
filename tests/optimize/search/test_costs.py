"""What a bundle costs, against figures made by hand; and a search over two objectives."""

from pathlib import Path

import pytest
import torch

from model_zoo.architectures import build
from model_zoo.export import Provenance, export_bundle
from model_zoo.spec import ArchitectureRef, InputSpec, Resize
from optimize.search.costs import cost_of
from optimize.search.run import run_search
from optimize.training.compound_run import Train
from optimize.training.finished import Finished
from optimize.training.recipe import Recipe
from tests.optimize.search.fakes import FakeTrainer, fake_tools, recipe_with

SPEC = InputSpec(28, 28, 1, "grey", Resize("stretch", 0), "none", (73.0,), (90.0,))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return export_bundle(
        build("grey28", 10),
        name="grey",
        store=tmp_path_factory.mktemp("store"),
        spec=SPEC,
        labels=tuple("abcdefghij"),
        provenance=Provenance(licence="none", source="a test"),
        architecture=ArchitectureRef("grey28", {"num_classes": 10}),
    ).folder


def test_parameters_and_macs_are_those_the_architecture_states(bundle: Path) -> None:
    assert cost_of(bundle, "parameters") == 98_466
    assert cost_of(bundle, "macs") == pytest.approx(16.1e6, rel=0.005)


def test_latency_is_some_time(bundle: Path) -> None:
    assert 0 < cost_of(bundle, "latency_ms") < 10_000


def test_two_objectives_make_a_front(bundle: Path, tmp_path: Path) -> None:
    trainer = FakeTrainer()

    def train(recipe: Recipe, folder: Path, **more: object) -> Finished:
        made = trainer(recipe, folder, **more)  # type: ignore[arg-type]
        return Finished(made.folder, bundle, made.rows, made.best_epoch, made.val_top1, None, 1.0)

    kept: Train = train
    search = {"space": {"optimiser.lr": [0.001, 0.01, 0.1]}, "sampler": "grid", "second": "parameters"}
    tools = fake_tools()
    object.__setattr__(tools, "train", kept)
    result = run_search(recipe_with(search), tmp_path / "run", tools, page=False)
    assert result.objectives == ("val_top1", "parameters")
    assert [one.values[1] for one in result.trials] == [98_466.0] * 3
    assert result.best is not None
    assert result.front == (result.best,), "all cost the same, so the best stands alone"
    assert result.trial(result.best).parameters == {"optimiser.lr": 0.01}
