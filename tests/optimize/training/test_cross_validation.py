"""Folds, and what is made of them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from optimize.data.read import Data
from optimize.errors import DataError, RecipeError, RunError
from optimize.judging.predictions import Predictions
from optimize.training.cross_validation import cross_validate, folds_of, students_interval
from optimize.training.run_folder import RunFolder
from tests.optimize.ensembles.fakes import Halves, TinyTrainer, data_of, recipe_of, tools_of


def all_but_the_test() -> set[int]:
    data = data_of()
    return {*data.train.positions.tolist(), *data.val.positions.tolist()}


def places(data: Data) -> tuple[set[int], set[int]]:
    return set(data.train.positions.tolist()), set(data.val.positions.tolist())


def test_each_picture_is_left_out_once_and_the_test_set_always() -> None:
    folds = folds_of(data_of(), 4, seed=1)
    left_out = [place for fold in folds for place in fold.val.positions.tolist()]
    assert sorted(left_out) == sorted(all_but_the_test())
    for fold in folds:
        train, val = places(fold)
        assert train | val == all_but_the_test()
        assert not train & val
        assert fold.test is None
        assert np.ptp(np.bincount(fold.val.first_labels)) <= 1
        assert fold.report.pictures == {"train": len(train), "val": len(val)}
    assert len({fold.report.fingerprint for fold in folds}) == 4


def test_folds_depend_on_the_seed_alone() -> None:
    one, same, other = (folds_of(data_of(), 3, seed=seed) for seed in (1, 1, 2))
    assert [places(fold) for fold in one] == [places(fold) for fold in same]
    assert [places(fold) for fold in one] != [places(fold) for fold in other]


def test_copies_of_a_picture_stay_together() -> None:
    data = data_of()
    source = Halves(180)
    source.pictures[3::6] = source.pictures[3]
    twins = set(range(3, 120, 6))
    sets = [replace(one, source=source) for one in (data.train, data.val)]
    for fold in folds_of(replace(data, train=sets[0], val=sets[1]), 3, seed=1):
        train, val = places(fold)
        assert twins <= train or twins <= val


def test_validation_of_another_source_stays_out() -> None:
    data = data_of()
    other = replace(data, val=replace(data.val, source=Halves(180, seed=9)))
    left_out = [place for fold in folds_of(other, 3, seed=1) for place in fold.val.positions.tolist()]
    assert sorted(left_out) == data.train.positions.tolist()


def test_more_folds_than_pictures_are_refused() -> None:
    with pytest.raises(DataError, match="folds"):
        folds_of(data_of(), 1000, seed=1)


def test_the_interval_is_students() -> None:
    values = np.array([0.81, 0.79, 0.86, 0.8, 0.83])
    expected = stats.t.interval(0.95, 4, loc=values.mean(), scale=stats.sem(values))
    assert students_interval(values) == pytest.approx(expected)
    assert students_interval(np.array([0.0, 1.0])) == (0.0, 1.0)


def test_what_comes_out_and_that_it_resumes(tmp_path: Path) -> None:
    trainer = TinyTrainer()
    deaths = ["2"]

    def before(name: str) -> None:
        if name in deaths:
            deaths.remove(name)
            raise KeyboardInterrupt

    trainer.before = before
    recipe = recipe_of(cross_validation={"folds": 3})
    with pytest.raises(KeyboardInterrupt):
        cross_validate(recipe, tmp_path / "run", tools_of(trainer))
    found = cross_validate(recipe, tmp_path / "run", tools_of(trainer))
    assert [name for name, _, _ in trainer.calls] == ["1", "2", "3"]
    assert all(one.cross_validation is None for _, one, _ in trainer.calls)

    pooled = Predictions.load(RunFolder(tmp_path / "run").predictions("val"))
    assert len(set(pooled.identifiers)) == found.n == 120
    assert found.pooled == pytest.approx((pooled.logits.argmax(1) == pooled.labels).mean())
    each = [Predictions.load(RunFolder(tmp_path / "run/folds" / str(k)).predictions("val")) for k in (1, 2, 3)]
    top1 = [float((one.logits.argmax(1) == one.labels).mean()) for one in each]
    assert found.folds == pytest.approx(top1)
    assert found.mean == pytest.approx(np.mean(top1))
    assert found.spread == pytest.approx(np.std(top1, ddof=1))
    assert json.loads((tmp_path / "run/cross_validation.json").read_text())["folds"] == list(found.folds)
    assert json.loads((tmp_path / "run/judgement.json").read_text())["val"]["n"] == 120
    assert (tmp_path / "run/report.html").exists()
    assert cross_validate(recipe, tmp_path / "run", tools_of(trainer)) == found
    assert len(trainer.calls) == 3


def test_another_recipe_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cross_validation"):
        cross_validate(recipe_of(), tmp_path / "run", tools_of())
    cross_validate(recipe_of(cross_validation={"folds": 2}), tmp_path / "run", tools_of())
    with pytest.raises(RunError, match="folds"):
        cross_validate(recipe_of(cross_validation={"folds": 3}), tmp_path / "run", tools_of())


def test_other_data_are_refused_before_anything_is_put_together(tmp_path: Path) -> None:
    recipe, data = recipe_of(cross_validation={"folds": 2}), data_of()
    cross_validate(recipe, tmp_path / "run", tools_of())
    before = (tmp_path / "run/data.json").read_bytes()
    grown = replace(data, report=replace(data.report, fingerprint="another"))
    with pytest.raises(RunError, match="begun with other data"):
        cross_validate(recipe, tmp_path / "run", replace(tools_of(), read=lambda _: grown))
    assert (tmp_path / "run/data.json").read_bytes() == before


@pytest.mark.parametrize("left", ["recipe.toml", ".recipe.toml.writing", ".state.json.writing"])
def test_what_was_killed_before_it_had_a_state_begins_again(tmp_path: Path, left: str) -> None:
    (tmp_path / left).write_text("half", encoding="utf-8")
    found = cross_validate(recipe_of(cross_validation={"folds": 2}), tmp_path, tools_of())
    assert len(found.folds) == 2
