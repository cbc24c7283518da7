"""An ensemble beside its members, against figures counted by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from optimize.ensembles.composite import mean_of
from optimize.ensembles.judgement import judge_members, write_figures
from optimize.ensembles.options import EnsembleOptions
from optimize.ensembles.workshop import Made, Member
from optimize.errors import RecipeError
from optimize.judging.predictions import Predictions
from optimize.training.recipe import parse_recipe
from tests.optimize.ensembles.fakes import CLASSES, TinyNet, network_of, recipe_of


def saying(classes: list[int], labels: list[int], names: tuple[str, ...] = CLASSES) -> Predictions:
    logits = np.zeros((len(classes), 3), np.float32)
    logits[np.arange(len(classes)), classes] = 5
    return Predictions(logits, np.array(labels), names, tuple(map(str, range(len(classes)))))


def made() -> Made:
    return mean_of([Member(name, network_of(TinyNet(seed=k))) for k, name in enumerate("ab")], [3.0, 1.0])


def test_figures_by_hand(tmp_path: Path) -> None:
    labels = [0, 1, 2, 0, 1]
    ensemble = saying([0, 1, 2, 0, 0], labels)
    turned = (CLASSES[1], CLASSES[0], CLASSES[2])
    members = [saying([0, 1, 2, 1, 0], labels), saying([1, 0, 0, 1, 0], [1, 0, 2, 1, 0], turned)]
    found = judge_members(ensemble, members, made(), seed=1)
    assert (found.n, found.top1) == (5, 0.8)
    assert [one.top1 for one in found.members] == [0.6, 0.8]
    assert found.disagreement == pytest.approx(3 / 5), "the second says 0, 1, 1, 0, 1 in the first one's order"
    assert found.oracle == 1.0
    assert [one.weight for one in found.members] == [0.75, 0.25]
    versus = found.members[0].versus
    assert (versus["only_this"], versus["only_other"], versus["difference"]) == (1, 0, pytest.approx(0.2))
    right = -np.log(np.exp(5) / (np.exp(5) + 2))
    wrong = -np.log(1 / (np.exp(5) + 2))
    assert found.log_loss == pytest.approx((4 * right + wrong) / 5, rel=1e-6)
    write_figures(tmp_path / "ensemble.json", "average", made(), {"val": found}, 1.2)
    content = json.loads((tmp_path / "ensemble.json").read_text())
    assert (content["temperature"], content["val"]["members"][0]["name"]) == (1.2, "a")


def test_one_member_disagrees_with_nobody() -> None:
    one = saying([0, 1, 2], [0, 1, 2])
    alone = Made(made().network, lambda value: None, made().members[:1])
    assert judge_members(one, [one], alone, seed=1).disagreement is None


def test_a_recipe_takes_the_settings_of_its_entry_and_no_others() -> None:
    recipe = recipe_of(ensemble={"name": "bagging", "members": 3})
    assert recipe.ensemble is not None
    assert recipe.ensemble.settings == {"members": 3}
    assert parse_recipe(recipe.to_content()) == recipe
    with pytest.raises(RecipeError, match="did you mean 'bagging'"):
        recipe_of(ensemble={"name": "baging"})
    with pytest.raises(RecipeError, match="did you mean 'members'"):
        recipe_of(ensemble={"name": "bagging", "member": 3})
    assert EnsembleOptions.model_validate({"name": "deep"}).settings == {}
