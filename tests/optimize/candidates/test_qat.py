"""The step ``qat``: trained in INT8's arithmetic, quantised by the pass, the same after a kill."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from model_zoo.store import Store
from optimize.candidates.chains import Chains, Steps
from optimize.candidates.opening import open_bench, open_parent
from optimize.candidates.order import require_makeable
from optimize.errors import RecipeError
from optimize.judging.fused import fused_share
from optimize.training import trainer
from optimize.training.compound_run import Train
from optimize.training.finished import EpochRow
from tests.optimize.candidates.small import INT8, recipe

STEPS = [{"name": "qat", "epochs": 2}, INT8]


class Killed(Exception):
    pass


def chains(tmp_path: Path, out: str, train: Train) -> tuple[Chains, Steps]:
    one = recipe(tmp_path, {"name": "qat-int8", "steps": STEPS}, budget={"max_drop": 100.0})
    parent = open_parent(one.model, Store(tmp_path), tmp_path / out)
    return Chains(open_bench(one, tmp_path / out, parent, train, print)), one.candidate[0].steps


def made(tmp_path: Path, out: str, train: Train = trainer.train) -> tuple[bytes, bytes]:
    """The trained graph and the quantised one."""
    run, steps = chains(tmp_path, out, train)
    return run.make_next(steps[:1]).read_model(), run.make_next(steps).read_model()


def test_it_ends_in_integers_and_in_the_same_bytes_though_killed(tmp_path: Path) -> None:
    taught, whole = made(tmp_path, "whole")
    assert fused_share(whole).share == 1
    said = next((tmp_path / "whole" / "steps").glob("*-qat/run/recipe.toml")).read_text(encoding="utf-8")
    assert tomllib.loads(said)["train"]["precision"] == "int8"

    def killed(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        def watch(row: EpochRow) -> None:
            raise Killed

        return trainer.train(*arguments, watch=watch, **options)

    with pytest.raises(Killed):
        made(tmp_path, "again", killed)
    assert made(tmp_path, "again") == (taught, whole)


def test_after_a_pass_there_is_nothing_to_train(tmp_path: Path) -> None:
    one = recipe(tmp_path, {"name": "late", "steps": [INT8, {"name": "qat"}]})
    parent = open_parent(one.model, Store(tmp_path), tmp_path)
    with pytest.raises(RecipeError, match="qat needs the float network, and after quantize_int8 there is none"):
        require_makeable(one, parent)


def test_a_compiled_network_can_t_be_rounded(tmp_path: Path) -> None:
    one = recipe(tmp_path, {"name": "c", "steps": STEPS}, finetune={"train": {"compile": True}})
    parent = open_parent(one.model, Store(tmp_path), tmp_path)
    with pytest.raises(RecipeError, match="set compile to false"):
        require_makeable(one, parent)
