"""The whole way with real training on tiny pictures: members, bundle, judgement, report; a search; folds."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from optimize.data.dataset import Dataset, Task
from optimize.data.read import Data
from optimize.data.report import DataReport
from optimize.ensembles.composite import mean_of
from optimize.ensembles.run import export, judge, train_ensemble
from optimize.ensembles.workshop import Member, Workshop
from optimize.errors import TrainingError
from optimize.search.run import run_search
from optimize.training.compound_run import Tools
from optimize.training.cross_validation import cross_validate
from optimize.training.finished import EpochRow, Finished
from optimize.training.real_tools import open_network, real_tools
from optimize.training.recipe import Recipe, parse_recipe
from tests.optimize.ensembles.fakes import CLASSES, Halves, TinyNet, data_of, network_of, recipe_of, tools_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of forty pictures, 28×28, grey."""
    folder, draw = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for place, name in enumerate(("dark", "left", "right")):
        (folder / name).mkdir()
        for number in range(40):
            picture = 80 + draw.normal(0, 25, (28, 28))
            picture[:, [slice(0, 0), slice(0, 14), slice(14, 28)][place]] += 60
            Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


def recipe_for(pictures: Path, **tables: object) -> Recipe:
    content: dict[str, object] = {
        "name": "halves",
        "data": {"train": str(pictures), "hold_out": 15, "val_share": 0.3},
        "model": {"architecture": "grey28"},
        "train": {"epochs": 2, "batch_size": 32, "threads": 1},
    }
    return parse_recipe({**content, **tables})


def quiet(train: Callable[..., Finished] | None = None) -> Tools:
    tools = real_tools(lambda line: None)
    return replace(tools, train=train) if train else tools


def test_an_ensemble_ends_as_a_bundle_that_can_be_opened_again(pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    result = train_ensemble(recipe_for(pictures, ensemble={"name": "deep", "members": 2}), folder, quiet())
    again = open_network(folder)
    x = torch.randn(4, 1, 28, 28)
    with torch.no_grad():
        assert torch.allclose(again.module(x), result.made.network.module(x), atol=1e-5)
    content = json.loads((folder / "ensemble.json").read_text())
    assert [one["name"] for one in content["test"]["members"]] == ["1", "2"]
    assert content["test"]["n"] == 15
    assert not (folder / "members/1/predictions/test.npz").exists(), "members don't see the test set"
    assert json.loads((folder / "judgement.json").read_text())["test"]["n"] == 15
    assert "halves" in (folder / "report.html").read_text()
    card = (result.bundle / "CARD.md").read_text()
    assert "ensemble (deep) of 2" in card


def easy(n: int) -> Data:
    """Pictures that a tiny network never mistakes, a third of them to validate on."""
    source = Halves(3 * n, noise=1.0)
    labels = source.labels[:, None].astype(np.int64)
    every = Dataset("easy", source, np.arange(3 * n), labels, (Task("label", CLASSES),))
    train, val = (every.subset(np.arange(k * n, (k + 1) * n), name) for k, name in enumerate(("train", "val")))
    return Data(train, val, None, None, DataReport("fingerprint", {}, {}))


def test_pictures_that_are_all_answered_rightly_leave_the_probabilities_alone(tmp_path: Path) -> None:
    recipe = recipe_of(ensemble={"name": "deep", "members": 2})
    result = train_ensemble(recipe, tmp_path, tools_of(data=easy(120)))
    assert result.figures["val"].top1 == 1.0
    assert json.loads((tmp_path / "ensemble.json").read_text())["temperature"] == 1.0


def test_an_ensemble_killed_at_its_store_ends_as_one_that_was_not(tmp_path: Path) -> None:
    shop = Workshop(recipe_of(), tmp_path, tools_of(), data_of())
    for name in ("store", ".store-before", ".store-making"):
        (tmp_path / name / "left").mkdir(parents=True)
    members = [Member(str(seed), network_of(TinyNet(seed=seed))) for seed in (1, 2)]
    bundle = export(shop, mean_of(members), {}, 1.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["tiny"]

    nowhere = replace(bundle, spec=replace(bundle.spec, runs_on=()))
    with pytest.raises(TrainingError, match="no engine of this machine runs the bundle"):
        judge(shop, nowhere, {}, 1.0, {})


class Killed(BaseException):
    """Stands for the end of the process."""


def test_a_real_search_goes_on_after_a_kill_to_the_same_end(pictures: Path, tmp_path: Path) -> None:
    space = {"optimiser.lr": {"low": 0.001, "high": 0.01, "log": True}}
    search = {"space": space, "n_trials": 2, "pruner": "none", "sampler": "random"}
    recipe = recipe_for(pictures, search=search)
    whole = run_search(recipe, tmp_path / "whole", quiet(), page=False)
    real, deaths = quiet().train, ["0001"]

    def dying(
        recipe: Recipe, folder: Path, *, data: Data | None = None, watch: Callable[[EpochRow], None] | None = None
    ) -> Finished:
        def dies(row: EpochRow) -> None:
            if row.epoch == 1 and folder.name in deaths:
                deaths.remove(folder.name)
                raise Killed
            if watch is not None:
                watch(row)

        return real(recipe, folder, data=data, watch=dies)

    with pytest.raises(Killed):
        run_search(recipe, tmp_path / "killed", quiet(dying), page=False)
    assert run_search(recipe, tmp_path / "killed", quiet(dying), page=False) == whole
    assert (tmp_path / "killed/search.json").read_bytes() == (tmp_path / "whole/search.json").read_bytes()
    assert whole.test is not None
    assert whole.test["n"] == 15
    assert (tmp_path / "whole/store/halves/1/manifest.json").exists()
    assert not list((tmp_path / "whole/trials").glob("*/predictions/test.npz")), "no trial sees the test set"


def test_folds_end_as_one_judgement_and_an_ensemble(pictures: Path, tmp_path: Path) -> None:
    recipe = recipe_for(pictures, cross_validation={"folds": 2, "bundle": "average"})
    result = cross_validate(recipe, tmp_path / "run", quiet())
    assert result.n == 105
    assert result.bundle is not None
    assert open_network(tmp_path / "run").architecture.name == "ensemble:mean"
    assert json.loads((tmp_path / "run/judgement.json").read_text())["val"]["n"] == 105
