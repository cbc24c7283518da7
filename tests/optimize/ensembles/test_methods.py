"""What each entry of ``ENSEMBLES`` makes of tiny networks, against formulas and scikit-learn."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from sklearn.ensemble import AdaBoostClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from optimize.data.dataset import Dataset
from optimize.data.read import Data
from optimize.ensembles import ENSEMBLES
from optimize.ensembles.average import best_weights
from optimize.ensembles.bagging import draw_bag
from optimize.ensembles.soup import mean_weights
from optimize.ensembles.workshop import Made, Workshop
from optimize.errors import RecipeError, RunError
from optimize.judging.predictions import Predictions
from optimize.training.run_folder import RunFolder
from tests.optimize.ensembles.fakes import (
    SPEC,
    Halves,
    TinyNet,
    TinyTrainer,
    data_of,
    inputs,
    network_of,
    opened,
    pixels,
    predict,
    recipe_of,
    tools_of,
)


def workshop(folder: Path, trainer: TinyTrainer | None = None, data: Data | None = None, **tables: object) -> Workshop:
    tools = tools_of(trainer, data)
    recipe = recipe_of(**tables)
    return Workshop(recipe, folder, tools, tools.read(recipe))


def sources(folder: Path, n: int = 3) -> list[str]:
    """Folders of networks that are there already, some better than others."""
    trainer, data = TinyTrainer(), data_of()
    for index in range(n):
        trainer(recipe_of(epochs=index + 1, seed=index), folder / f"given-{index}", data=data)
    return [str(folder / f"given-{index}") for index in range(n)]


def settings_of(name: str, folder: Path) -> dict[str, object]:
    """Few members, quick ones."""
    few: dict[str, dict[str, object]] = {
        "average": {"sources": sources(folder)} if name == "average" else {},
        "boosting": {"rounds": 5},
        "stacking": {"members": 2, "folds": 2},
        "soup": {"members": 2},
    }
    return few.get(name, {"members": 2})


def answers(made: Made) -> Predictions:
    return predict(made.network.module, data_of().val, SPEC)


def probabilities(folder: Path) -> np.ndarray:
    return softmax(predict(opened(folder).module, data_of().val, SPEC).logits.astype(np.float64), axis=1)


def right(logits: np.ndarray) -> float:
    return float((logits.argmax(1) == data_of().val.first_labels).mean())


@pytest.mark.parametrize("name", list(ENSEMBLES))
def test_every_entry_answers_learns_resumes_and_takes_a_temperature(name: str, tmp_path: Path) -> None:
    trainer = TinyTrainer()
    choice = ENSEMBLES.choose(name, settings_of(name, tmp_path))
    made = choice.make(workshop(tmp_path / "run", trainer))
    found = answers(made)
    assert found.logits.shape == (60, 3)
    assert right(found.logits) > 0.6, "chance is a third"
    assert made.members
    done = len(trainer.calls)
    again = answers(choice.make(workshop(tmp_path / "run", trainer)))
    assert len(trainer.calls) == done, "what is there is not trained again"
    assert np.array_equal(again.logits, found.logits)
    made.set_temperature(2.0)
    assert np.allclose(answers(made).logits, found.logits / 2, atol=1e-5)


def test_deep_is_the_mean_of_probabilities_over_seeds(tmp_path: Path) -> None:
    trainer = TinyTrainer()
    variants = [{"train.epochs": 1}, {"train.epochs": 2}]
    made = ENSEMBLES.choose("deep", {"members": 3, "variants": variants}).make(workshop(tmp_path, trainer, seed=5))
    assert [(recipe.seed, recipe.train.epochs) for _, recipe, _ in trainer.calls] == [(5, 1), (6, 2), (7, 1)]
    mean = np.mean([probabilities(tmp_path / "members" / str(index)) for index in (1, 2, 3)], axis=0)
    assert np.allclose(answers(made).logits, np.log(mean), atol=1e-5)


def test_an_average_weighs_as_it_is_told(tmp_path: Path) -> None:
    paths = sources(tmp_path, 3)
    made = ENSEMBLES.choose("average", {"sources": paths, "weights": [3, 0, 1]}).make(workshop(tmp_path / "run"))
    expected = 0.75 * probabilities(Path(paths[0])) + 0.25 * probabilities(Path(paths[2]))
    assert np.allclose(answers(made).logits, np.log(expected), atol=1e-5)
    assert made.weights == (0.75, 0.0, 0.25)
    assert len(made.network.module.log_weights) == 2, "a member of no weight costs nothing"  # type: ignore[arg-type]


def test_best_weights_are_the_least_loss() -> None:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 4, 400)
    rows = []
    for skill in (2.0, 1.0, 0.2):
        logits = draw.normal(0, 1, (400, 4))
        logits[np.arange(400), labels] += skill
        rows.append(softmax(logits, axis=1))
    rows = np.stack(rows)

    def loss(weights: np.ndarray) -> float:
        return float(-np.log(np.tensordot(weights, rows, 1)[np.arange(400), labels]).mean())

    grid = [np.array([a, b, 1 - a - b]) for a in np.linspace(0, 1, 51) for b in np.linspace(0, 1 - a, 51)]
    found = best_weights(rows, labels)
    assert found.sum() == pytest.approx(1.0)
    assert loss(found) <= min(map(loss, grid)) + 1e-6


def test_bags_are_drawn_within_classes_and_the_rest_judges(tmp_path: Path) -> None:
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    bag = draw_bag(labels, 1.0, seed=3, index=0)
    assert np.bincount(labels[bag]).tolist() == [50, 30, 20]
    assert np.array_equal(bag, draw_bag(labels, 1.0, seed=3, index=0))
    assert not np.array_equal(bag, draw_bag(labels, 1.0, seed=3, index=1))
    assert len(draw_bag(labels, 0.5, seed=3, index=0)) == 50

    trainer = TinyTrainer()
    made = ENSEMBLES.choose("bagging", {"members": 4}).make(workshop(tmp_path, trainer))
    found = Predictions.load(RunFolder(tmp_path).predictions("out_of_bag"))
    train = data_of().train
    bags = [set(data.train.positions.tolist()) for _, _, data in trainer.calls]
    for index, name in enumerate(found.identifiers[:10]):
        place = int(name.removeprefix("half[").removesuffix("]"))
        outside = [k for k, drawn in enumerate(bags) if place not in drawn]
        rows = [softmax(_alone(tmp_path, k + 1, train.subset([place])), axis=1) for k in outside]
        assert np.allclose(softmax(found.logits[index]), np.mean(rows, axis=0), atol=1e-4)
    assert made.facts["out_of_bag"]["n"] == len(found)
    assert len({data.report.fingerprint for _, _, data in trainer.calls}) == 4


def test_a_picture_stored_twice_is_not_out_of_a_bag_that_holds_its_copy(tmp_path: Path) -> None:
    data = data_of()
    source = data.train.source
    assert isinstance(source, Halves)
    source.pictures[:60] = np.tile(source.pictures[:3], (20, 1, 1, 1))
    made = ENSEMBLES.choose("bagging", {"members": 2}).make(workshop(tmp_path, data=data))
    assert made.facts == {"out_of_bag": None}, "each bag holds some of each class, so each picture"


def _alone(folder: Path, member: int, dataset: object) -> np.ndarray:
    return predict(opened(folder / "members" / str(member)).module, dataset, SPEC).logits.astype(np.float64)  # type: ignore[arg-type]


def test_stacking_is_a_regression_on_answers_to_unseen_pictures(tmp_path: Path) -> None:
    trainer = TinyTrainer()
    made = ENSEMBLES.choose("stacking", {"members": 2, "folds": 3}).make(workshop(tmp_path, trainer))
    assert len(trainer.calls) == 2 * (3 + 1)
    train, val = data_of().train, data_of().val
    for name, _, data in trainer.calls:
        assert np.array_equal(data.val.positions, val.positions), f"{name} would choose by what the regression learns"
    folds = [
        (name, np.setdiff1d(train.positions, data.train.positions))
        for name, _, data in trainer.calls
        if name.startswith("1-")
    ]
    assert np.array_equal(np.sort(np.concatenate([one for _, one in folds])), train.positions), "each is left out once"
    unseen = [Predictions.load(RunFolder(tmp_path).predictions(f"out_of_fold-{k}")) for k in (1, 2)]
    for name, places in folds:
        alone = predict(opened(tmp_path / "members" / name).module, train.subset(places), SPEC)
        assert np.allclose(unseen[0].logits[places], alone.logits, atol=1e-5), "by the one training without it"
    assert all(np.array_equal(one.labels, train.first_labels) for one in unseen)
    rows = np.concatenate([log_softmax(one.logits.astype(np.float64), axis=1) for one in unseen], axis=1)
    reference = LogisticRegression(C=1.0, max_iter=5000, tol=1e-6).fit(rows, train.first_labels)
    members = [log_softmax(_alone(tmp_path, k, val), axis=1) for k in (1, 2)]
    expected = reference.predict_proba(np.concatenate(members, axis=1))
    assert np.allclose(softmax(answers(made).logits, axis=1), expected, atol=1e-4)


def test_samme_answers_as_scikit_learns_adaboost(tmp_path: Path) -> None:
    choice = ENSEMBLES.choose("boosting", {"algorithm": "samme", "rounds": 6, "source": sources(tmp_path, 1)[0]})
    made = choice.make(workshop(tmp_path / "run"))
    data = data_of()
    scale = StandardScaler().fit(features(tmp_path / "given-0", data.train))
    reference = AdaBoostClassifier(LogisticRegression(max_iter=2000), n_estimators=6, random_state=0)
    reference.fit(scale.transform(features(tmp_path / "given-0", data.train)), data.train.first_labels)
    expected = reference.predict(scale.transform(features(tmp_path / "given-0", data.val)))
    assert np.array_equal(answers(made).logits.argmax(1), expected)
    assert made.facts["rounds"] == len(reference.estimators_)


def features(folder: Path, dataset: object) -> np.ndarray:
    net = opened(folder).module
    net.head = torch.nn.Identity()
    with torch.no_grad():
        return net(pixels(dataset)).double().numpy()  # type: ignore[arg-type]


def boosted(source: str, folder: Path, data: Data) -> Made:
    return ENSEMBLES.choose("boosting", {"rounds": 5, "source": source}).make(workshop(folder, data=data))


def refingered(data: Data, train: Dataset) -> Data:
    """Other training pictures, as reading them would say it."""
    return replace(data, train=train, report=replace(data.report, fingerprint="another"))


def test_kept_features_are_those_of_these_pictures_and_this_trunk(tmp_path: Path) -> None:
    first, second = sources(tmp_path, 2)
    data, run = data_of(), tmp_path / "run"
    before = answers(boosted(first, run, data)).logits
    kept = {path: path.read_bytes() for path in (run / "features").iterdir()}
    assert len(kept) == 2
    assert np.array_equal(answers(boosted(first, run, data)).logits, before)
    assert {path: path.read_bytes() for path in kept} == kept

    for changed in (data.train.subset(np.arange(59)), data.train.subset([5, *range(1, 60)])):
        own = refingered(data, changed)
        found = answers(boosted(first, run, own)).logits
        assert np.array_equal(found, answers(boosted(first, tmp_path / f"new-{len(changed)}", own)).logits)
        boosted(first, run, data)

    shutil.copy(tmp_path / "given-1/weights.pt", tmp_path / "given-0/weights.pt")
    found = answers(boosted(first, run, data)).logits
    assert np.array_equal(found, answers(boosted(second, tmp_path / "retrained", data)).logits)


def test_broken_features_are_named(tmp_path: Path) -> None:
    path = tmp_path / "run/features/train.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(RunError, match=r"train\.npz can't be read: .*delete it"):
        boosted(sources(tmp_path, 1)[0], tmp_path / "run", data_of())


def test_an_ensemble_is_not_boosted(tmp_path: Path) -> None:
    ensemble = ENSEMBLES.choose("average", {"sources": sources(tmp_path, 2)}).make(workshop(tmp_path / "average"))
    shop = workshop(tmp_path / "run")
    shop = replace(shop, tools=replace(shop.tools, open=lambda _: ensemble.network))
    with pytest.raises(RecipeError, match="given can't be boosted: it is an ensemble"):
        ENSEMBLES.choose("boosting", {"rounds": 5, "source": "given"}).make(shop)


def test_gradient_boosting_keeps_the_architecture_and_lowers_the_loss(tmp_path: Path) -> None:
    choice = ENSEMBLES.choose("boosting", {"rounds": 40, "source": sources(tmp_path, 1)[0]})
    made = choice.make(workshop(tmp_path / "run"))
    assert isinstance(made.network.module, TinyNet)
    losses = made.facts["val_loss"]
    assert made.facts["rounds"] == int(np.argmin(losses))
    rows = log_softmax(answers(made).logits.astype(np.float64), axis=1)
    expected = -rows[np.arange(60), data_of().val.first_labels].mean()
    assert expected == pytest.approx(min(losses), abs=1e-4)
    assert min(losses) < losses[0] == pytest.approx(np.log(3), abs=1e-6)


def test_a_soup_is_the_mean_of_weights_with_fresh_statistics(tmp_path: Path) -> None:
    trainer = TinyTrainer()
    choice = ENSEMBLES.choose("soup", {"members": 3, "kind": "uniform", "variants": [{"train.epochs": 1}]})
    made = choice.make(workshop(tmp_path, trainer))
    assert [name for name, _, _ in trainer.calls] == ["start", "1", "2", "3"]
    assert {recipe.model.weights for name, recipe, _ in trainer.calls if name != "start"} == {
        str(tmp_path / "members/start")
    }
    states = [opened(tmp_path / "members" / str(k)).module.state_dict() for k in (1, 2, 3)]
    mixed = made.network.module.state_dict()
    mean = torch.stack([state["conv.weight"].double() for state in states]).mean(0).float()
    assert torch.equal(mixed["conv.weight"], mean)
    train = pixels(data_of().train)
    seen = torch.nn.functional.conv2d(train, mixed["conv.weight"], mixed["conv.bias"], padding=1).double()
    assert torch.allclose(mixed["bn.running_mean"].double(), seen.mean((0, 2, 3)), atol=1e-4)


def test_a_greedy_soup_is_no_worse_than_its_best_member(tmp_path: Path) -> None:
    paths = sources(tmp_path, 3)
    made = ENSEMBLES.choose("soup", {"sources": paths}).make(workshop(tmp_path / "run"))
    best = max(right(predict(opened(Path(path)).module, data_of().val, SPEC).logits) for path in paths)
    assert right(answers(made).logits) >= best
    assert set(made.facts["soup"]) <= set(paths)


def test_the_mean_of_one_network_is_that_network() -> None:
    net = TinyNet(seed=4).eval()
    same = mean_weights([net, net, net])
    assert all(torch.equal(same.state_dict()[key], value) for key, value in net.state_dict().items())


def test_networks_that_do_not_mix_are_refused(tmp_path: Path) -> None:
    tools = tools_of()
    known = {"a": network_of(TinyNet()), "b": network_of(TinyNet(), spec=replace(SPEC, graph_mean=(90.0,)))}
    own = replace(tools, open=lambda path: known[path.name])
    shop = Workshop(recipe_of(), tmp_path, own, tools.read(recipe_of()))
    with pytest.raises(RecipeError, match="no soup"):
        ENSEMBLES.choose("soup", {"sources": ["a", "b"]}).make(shop)
    with pytest.raises(RecipeError, match="as many weights"):
        ENSEMBLES.choose("average", {"sources": ["a", "b"], "weights": [1.0]})


def test_inputs_are_all_pictures_in_order() -> None:
    dataset = data_of().val
    assert torch.equal(torch.cat(list(inputs(dataset, SPEC))), pixels(dataset))
