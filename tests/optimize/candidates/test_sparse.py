"""The step ``sparse_finetune``: zeros that come, stay through what follows, and are told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optimize.candidates.run as running
from model_zoo.bundle import Bundle
from model_zoo.store import Store
from optimize.candidates.chains import Chains, Steps
from optimize.candidates.float_network import float_network
from optimize.candidates.opening import open_bench, open_parent
from optimize.candidates.order import require_makeable
from optimize.candidates.report import ZEROS
from optimize.candidates.run import Run
from optimize.candidates.writing import write_all
from optimize.errors import RecipeError
from optimize.judging.zeros import zeros_of
from optimize.passes import load_pass
from optimize.training import trainer
from optimize.training.finished import EpochRow
from optimize.training.recipe import Recipe
from optimize.training.sparsity.layers import sparse_layers, zero_share
from optimize.training.sparsity.options import SparsityOptions
from tests.optimize.candidates.small import INT8, recipe, speed
from tests.optimize.training.small_runs import SIDE

SPARSE = {"name": "sparse_finetune", "share": 0.8, "epochs": 2, "score": "snip"}
STORED = {"name": "sparse_storage"}
NO_BUDGET = {"max_drop": 100.0}
Opened = tuple[Chains, Steps]


class Killed(Exception):
    pass


def opened(tmp_path: Path, out: str, *steps: dict[str, Any], train: Any = trainer.train, **tables: Any) -> Opened:  # noqa: ANN401
    """One chain's, and its steps."""
    one = recipe(tmp_path, {"name": "sparse", "steps": list(steps)}, **{"budget": NO_BUDGET, **tables})
    parent = open_parent(one.model, Store(tmp_path), tmp_path / out)
    require_makeable(one, parent)
    return Chains(open_bench(one, tmp_path / out, parent, train, print)), one.candidate[0].steps


def stages(chains: Chains, steps: Steps) -> list[Bundle]:
    """What each step makes."""
    return [chains.make_next(steps[:end]) for end in range(1, len(steps) + 1)]


def killed(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
    """A training that ends after its first epoch."""

    def watch(row: EpochRow) -> None:
        raise Killed

    return trainer.train(*arguments, watch=watch, **options)


class Asked(Exception):
    """A training that would begin."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe


def asked(recipe: Recipe, *_: object, **__: object) -> Any:  # noqa: ANN401
    raise Asked(recipe)


def test_zeros_come_though_killed_and_stay_and_are_stored(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        stages(*opened(tmp_path, "run", SPARSE, STORED, train=killed))
    made = stages(*opened(tmp_path, "run", SPARSE, STORED))
    network = float_network(made[0], "a test").module
    assert zero_share(network) == pytest.approx(0.8, abs=1e-3)
    zeros = [zeros_of(one.read_model()).zeros for one in made]
    assert zeros[0] == sum(int((one == 0).sum()) for one in sparse_layers(network).values())
    assert zeros[0] == zeros[1]
    assert len(made[1].read_model()) < 0.75 * len(made[0].read_model())
    pictures = np.random.default_rng(0).integers(0, 256, (16, SIDE, SIDE, 1), np.uint8)
    assert zeros_of(load_pass("quantize_int8").run(made[0].read_model(), pictures, {})).zeros >= zeros[0]

    for later in ("finetune", "qat"):
        with pytest.raises(Asked) as found:
            stages(*opened(tmp_path, later, {"name": later}, train=asked, model=str(made[0].folder)))
        assert found.value.recipe.sparsity == SparsityOptions(share=0.0)


def test_a_network_without_zeros_is_finetuned_as_ever(tmp_path: Path) -> None:
    with pytest.raises(Asked) as found:
        stages(*opened(tmp_path, "run", {"name": "finetune"}, train=asked))
    assert found.value.recipe.sparsity is None


def test_the_step_s_settings_are_the_training_s(tmp_path: Path) -> None:
    kept = {"train": {"keep": "best", "early_stopping": 3}}
    with pytest.raises(Asked) as found:
        stages(*opened(tmp_path, "run", {**SPARSE, "end": 0.5}, train=asked, finetune=kept))
    asked_for = found.value.recipe
    assert asked_for.sparsity == SparsityOptions(share=0.8, score="snip", end=0.5)
    assert (asked_for.train.keep, asked_for.train.early_stopping, asked_for.train.epochs) == ("last", 0, 2)
    assert asked_for.teacher is not None


def test_the_report_says_that_zeros_bring_no_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "measure_speed", lambda *_: speed(1.0))
    zeros = {"name": "zeros", "steps": [{"name": "sparsify", "share": 0.6}]}
    pages = []
    for out, candidates in (("dense", ()), ("sparse", (zeros,))):
        one = recipe(tmp_path, {"name": "int8", "steps": [INT8]}, *candidates, budget=NO_BUDGET)
        parent = open_parent(one.model, Store(tmp_path), tmp_path / out)
        bench = open_bench(one, tmp_path / out, parent, trainer.train, print)
        result = write_all(Run(bench), bench)
        pages.append((tmp_path / out / "report.html").read_text(encoding="utf-8"))
    assert result.candidate("zeros").zeros == pytest.approx(0.6, abs=0.1)  # depthwise layers have none
    assert result.candidate("int8").zeros < ZEROS
    written = {each["name"]: each for each in json.loads((tmp_path / "sparse" / "result.json").read_text())["candidates"]}  # fmt: skip # noqa: E501
    assert written["zeros"]["zeros"] == result.candidate("zeros").zeros
    said = f"{100 * result.candidate('zeros').zeros:.0f} % of zeros’s"
    assert "Zeros bring no speed on onnxruntime" in pages[1]
    assert said in pages[1].replace("\u202f", " ").replace("\xa0", " ")
    assert "<th>weights that are 0</th>" in pages[1]
    assert "Zeros bring no speed" not in pages[0]
    assert "weights that are 0" not in pages[0]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"share": 0.0}, "greater than 0"),
        ({"shares": 0.5}, "did you mean 'share'"),
        ({"score": "size"}, "'magnitude', 'movement' or 'snip'"),
        ({"pattern": "2:4", "share": 0.6}, "leave share out"),
        ({"begin": 0.9}, "begin to come at 0.9"),
    ],
)
def test_what_can_t_be_is_refused_in_words(tmp_path: Path, step: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        recipe(tmp_path, {"name": "a", "steps": [{"name": "sparse_finetune", **step}]})


def test_what_freezes_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"candidate sparse: .*take 'full'"):
        opened(tmp_path, "run", SPARSE, finetune={"transfer": {"name": "head"}})
    with pytest.raises(RecipeError, match="sparse_finetune needs the float network, and after quantize_int8"):
        opened(tmp_path, "run", INT8, SPARSE)
