"""What a run leaves: a bundle that says what torch says, calibrated, and all that is known of it."""

import copy
import json

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from scipy.special import log_softmax
from torch import nn

from model_zoo.bundle import read_bundle
from model_zoo.check import synthetic_pictures
from model_zoo.store import Store
from model_zoo.weights import restore
from optimize.data.dataset import Task
from optimize.errors import TrainingError
from optimize.judging.predictions import Predictions
from optimize.training.export_run import accuracies, divide_logits, require_parity
from optimize.training.finish import chosen_temperature
from optimize.training.finished import Finished
from optimize.training.network.build import build_network
from optimize.training.recipe import Recipe
from optimize.training.run_card import card
from optimize.training.trainer import train
from tests.optimize.training.small_runs import SIDE, small_recipe, write_stripes


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    folder = tmp_path_factory.mktemp("data")
    pictures = write_stripes(folder / "stripes", each=210, noise=300)
    test = write_stripes(folder / "test", each=10, seed=3, noise=300)
    tables = {"licence": "CC0-1.0", "source": "made up", "check_pictures": "validation"}
    return small_recipe(pictures, **tables, data={"test": str(test)}, train={"epochs": 3, "ema": 0.9})


@pytest.fixture(scope="module")
def finished(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    torch.set_num_threads(1)
    return train(recipe, tmp_path_factory.mktemp("finished") / "run")


def test_the_bundle_is_one_that_a_store_serves(finished: Finished) -> None:
    bundle = Store(finished.folder.store).open("stripes")

    assert bundle.folder == finished.bundle
    assert bundle.labels == ("class0", "class1")
    assert (bundle.manifest.licence, bundle.manifest.source) == ("CC0-1.0", "made up")
    assert {path.name for path in finished.folder.store.iterdir()} == {"stripes"}


def test_the_bundle_says_of_a_file_what_the_run_noted_divided_by_the_temperature(
    finished: Finished, recipe: Recipe
) -> None:
    assert finished.bundle is not None
    graph = onnxruntime.InferenceSession(str(finished.bundle / "model.onnx"))
    for split, folder in (("val", recipe.data.train_paths[0]), ("test", recipe.data.test)):
        assert folder is not None
        noted = Predictions.load(finished.folder.predictions(split))
        pictures = np.stack([np.array(Image.open(folder.parent / name)) for name in noted.identifiers])[..., None]

        logits = graph.run(["logits"], {"images": pictures})[0]

        np.testing.assert_allclose(logits, noted.logits / finished.temperature, rtol=1e-3, atol=1e-4)
        assert (logits.argmax(1) == noted.logits.argmax(1)).all()


def test_the_temperature_is_the_one_that_fits_validation_best(finished: Finished) -> None:
    noted = Predictions.load(finished.folder.predictions("val"))

    def loss(temperature: float) -> float:
        rows = log_softmax(noted.logits.astype(np.float64) / temperature, axis=1)
        return float(-rows[np.arange(len(noted)), noted.labels].mean())

    best = min(np.geomspace(0.05, 20, 4001), key=loss)
    assert finished.temperature == pytest.approx(best, rel=0.01)
    assert finished.temperature != 1.0


@pytest.mark.parametrize(("n", "wrong"), [(99, 25), (400, 0)])
def test_pictures_that_can_t_say_how_sure_to_be_leave_the_logits_alone(n: int, wrong: int) -> None:
    labels = np.arange(n) % 2
    rows = np.eye(2, dtype=np.float32)[np.where(np.arange(n) < wrong, 1 - labels, labels)]

    assert chosen_temperature(Predictions(rows, labels, ("a", "b"), tuple(map(str, range(n))))) == 1.0


def test_the_float_weights_are_those_of_the_graph(finished: Finished) -> None:
    assert finished.bundle is not None
    bundle = read_bundle(finished.bundle)
    pictures = synthetic_pictures(SIDE, SIDE, 1)
    spec = bundle.spec.input
    inputs = (torch.from_numpy(pictures).permute(0, 3, 1, 2).double() - spec.graph_mean[0]) / spec.graph_std[0]
    with torch.no_grad():
        expected = restore(bundle)(inputs.float()).numpy()

    graph = onnxruntime.InferenceSession(str(bundle.model_path))

    np.testing.assert_allclose(graph.run(["logits"], {"images": pictures})[0], expected, rtol=1e-3, atol=1e-4)


def test_the_lineage_says_how_it_came_to_be_and_names_no_folder(finished: Finished, recipe: Recipe) -> None:
    assert finished.bundle is not None
    lineage = read_bundle(finished.bundle).manifest.lineage
    passes = {one.name: one.parameters for one in lineage.passes}

    assert list(passes) == ["train", "temperature", "export_onnx"]
    assert passes["temperature"] == {"value": finished.temperature}
    data = json.loads(finished.folder.data.read_text(encoding="utf-8"))
    assert passes["train"]["data"] == data["fingerprint"]
    assert (lineage.seed, lineage.recipe) == (5, "stripes")
    assert lineage.tools["torch"] == torch.__version__.partition("+")[0]
    assert str(recipe.data.train_paths[0].parent) not in (finished.bundle / "manifest.json").read_text(encoding="utf-8")


def test_accuracy_is_measured_with_its_interval(finished: Finished) -> None:
    assert finished.bundle is not None
    found = {(one.split, one.metric): one for one in read_bundle(finished.bundle).manifest.accuracy}

    assert set(found) == {("validation", "top1"), ("test", "top1")}
    assert found["validation", "top1"].value == finished.val_top1
    assert found["test", "top1"].value == finished.test_top1
    assert found["test", "top1"].n == 20
    low, high = found["test", "top1"].ci95 or (1, 0)
    assert low < finished.test_top1 < high or finished.test_top1 in (0.0, 1.0)


def test_the_card_says_what_counts(finished: Finished) -> None:
    assert finished.bundle is not None
    card = (finished.bundle / "CARD.md").read_text(encoding="utf-8")

    figures = (f"{finished.temperature:.4f}", f"{100 * finished.val_top1:.1f} %")
    for text in ("class0, class1", "CC0-1.0", "made up", *figures):
        assert text in card


@pytest.mark.parametrize(
    ("epochs", "epoch", "said"),
    [
        (3, 3, "- 3 epochs, adamw"),
        (2, 2, "- 2 epochs of 3 planned, adamw"),
        (3, 1, "- 3 epochs, the weights after epoch 1, adamw"),
    ],
)
def test_the_card_says_how_long_was_trained(
    finished: Finished, recipe: Recipe, epochs: int, epoch: int, said: str
) -> None:
    network = build_network(recipe.model, (Task("stripes", ("class0", "class1")),), 1)
    splits = {"val": Predictions.load(finished.folder.predictions("val"))}

    text = card(recipe, "stripes", network, splits, 1.0, "f", epochs=epochs, epoch=epoch)

    assert said in text


def test_four_validation_pictures_are_in_the_check_where_the_recipe_allows(finished: Finished) -> None:
    assert finished.bundle is not None
    bundle = read_bundle(finished.bundle)

    assert not (bundle.check().pictures == synthetic_pictures(SIDE, SIDE, 1)).all()


def test_there_is_a_judgement_and_a_report(finished: Finished) -> None:
    judgement = json.loads(finished.folder.judgement.read_text(encoding="utf-8"))

    assert judgement["val"]["figures"]["top1"]["value"] == finished.val_top1
    assert judgement["test"]["figures"]["top1"]["value"] == finished.test_top1
    assert "<html" in finished.folder.report.read_text(encoding="utf-8")


@pytest.mark.parametrize("temperature", [0.3, 2.5])
def test_dividing_the_last_layer_divides_the_logits(temperature: float) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    rows, divided = torch.randn(50, 5), copy.deepcopy(network)

    divide_logits(divided, temperature)

    torch.testing.assert_close(divided(rows), network(rows) / temperature)
    assert torch.equal(divided(rows).argmax(1), network(rows).argmax(1))


def test_a_graph_that_says_something_else_is_refused(finished: Finished) -> None:
    assert finished.bundle is not None
    pictures = synthetic_pictures(SIDE, SIDE, 1)

    with pytest.raises(TrainingError, match="differs from torch"):
        require_parity(read_bundle(finished.bundle), pictures, np.full((4, 2), 3.0))


def test_top_five_is_only_said_of_more_than_five_classes() -> None:
    def random_predictions(classes: int) -> Predictions:
        rows = np.random.default_rng(0).normal(size=(40, classes)).astype(np.float32)
        names = tuple(f"c{index}" for index in range(classes))
        return Predictions(rows, np.arange(40) % classes, names, tuple(map(str, range(40))))

    assert [one.metric for one in accuracies("d", "val", random_predictions(5))] == ["top1"]
    assert [one.metric for one in accuracies("d", "val", random_predictions(6))] == ["top1", "top5"]
