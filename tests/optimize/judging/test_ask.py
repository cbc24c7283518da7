"""Asking a model about pictures: order, what is broken, what is shown of mistakes, and how robust it is."""

import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_zoo.heat_map import map_box, overlay
from model_zoo.store import shipped_store
from optimize.errors import DataError
from optimize.judging.ask import CHUNK, ask
from optimize.judging.evaluation import evaluate
from optimize.judging.judge import judge
from optimize.judging.judged_model import BATCH, BundleModel
from optimize.judging.latency import ROUNDS, Latency, measure_latency
from optimize.judging.mistake_pictures import load_mistake_pictures, mistake_pictures, save_mistake_pictures
from optimize.judging.robustness import SEVERITIES, robustness
from optimize.judging.run_judgement import RunJudgement, judge_run
from optimize.judging.temperature import fit_temperature
from optimize.training.run_folder import RunFolder
from tests.optimize.judging.sets import Brightness, Pictures, shades


def pixels_of(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_answers_come_in_the_set_s_order_over_several_chunks() -> None:
    dataset = shades(2 * CHUNK + 3)
    told: list[tuple[int, int]] = []
    asked = ask(Brightness(), dataset, lambda done, planned: told.append((done, planned)))
    bright = np.array([dataset.read(place).mean() / 255 for place in range(len(dataset))])
    assert asked.predictions.logits[:, 1] == pytest.approx(8 * bright, rel=1e-5)
    assert asked.predictions.identifiers[70] == "shades/70.png"
    assert told == [(CHUNK, 131), (2 * CHUNK, 131), (131, 131)]


def test_broken_and_unlabelled_pictures_are_left_out() -> None:
    dataset = shades(10, broken=frozenset({3}))
    labels = dataset.labels.copy()
    labels[5] = -1
    asked = ask(Brightness(), replace(dataset, labels=labels))
    assert len(asked.predictions) == 8
    assert asked.unreadable == (("shades/3.png", "shades/3.png is broken"),)


@pytest.mark.parametrize(
    "dataset", [shades(4, broken=frozenset(range(4))), replace(shades(4), labels=np.full((4, 1), -1))]
)
def test_nothing_to_ask_about_is_refused(dataset: object) -> None:
    with pytest.raises(DataError, match="no labelled picture"):
        ask(Brightness(), dataset)  # type: ignore[arg-type]


def test_labels_in_another_order_are_refused() -> None:
    model = Brightness()
    model.labels = ("bright", "dark")
    with pytest.raises(DataError, match="not in the order"):
        ask(model, shades())


def test_mistakes_are_shown_with_what_spoke_for_them(tmp_path: Path) -> None:
    model, dataset = Brightness(), shades(20, wrong=(7, 12))
    judged = judge(ask(model, dataset).predictions, seed=0, rounds=5)
    shown = mistake_pictures(model, dataset, judged.mistakes)
    assert {one.mistake.index for one in shown} == {7, 12}
    for one in shown:
        pixels = dataset.read(one.mistake.index)
        assert np.array_equal(pixels_of(one.picture), pixels)
        heat = overlay(pixels, np.tile(np.array([[1.0, 0.0]], np.float32), (2, 1)), map_box(30, 20, model.spec))
        assert one.heat is not None
        assert np.array_equal(pixels_of(one.heat), heat)
    save_mistake_pictures(tmp_path / "mistakes.json", "val", shown)
    assert load_mistake_pictures(tmp_path / "mistakes.json") == ("val", shown)


class SameNames(Pictures):
    """Two folders that hold pictures of the same names."""

    def identifier(self, index: int) -> str:
        return f"{index % 10}.png"


def test_of_two_pictures_of_one_name_the_one_that_was_mistaken_is_shown() -> None:
    """Broken pictures and those without a label before it shift its place in the predictions, not in the set."""
    model, dataset = Brightness(), shades(20, wrong=(7, 12))
    labels = dataset.labels.copy()
    labels[5] = -1
    source = SameNames([dataset.read(place) for place in range(20)], broken=frozenset({3}))
    found = evaluate(model, replace(dataset, source=source, labels=labels), seed=0)
    shown = mistake_pictures(model, replace(dataset, source=source), found.judgement.mistakes)
    assert {one.mistake.index for one in shown} == {7, 12}
    for one in shown:
        assert np.array_equal(pixels_of(one.picture), dataset.read(one.mistake.index))


def test_pictures_that_were_not_judged_are_not_shown() -> None:
    model, dataset = Brightness(), shades(20, wrong=(7, 12))
    mistakes = judge(ask(model, dataset).predictions, seed=0, rounds=5).mistakes
    with pytest.raises(DataError, match="these are not the ones judged"):
        mistake_pictures(model, dataset.subset(range(10)), mistakes)


def test_a_bundle_s_own_maps_are_drawn_and_large_pictures_made_small() -> None:
    model = BundleModel(shipped_store().open("efficientnet_lite0"), "fake")
    dataset = shades(2)
    dataset.source.pixels[0] = np.zeros((300, 900, 3), np.uint8)  # type: ignore[attr-defined]
    labelled = replace(dataset, tasks=(replace(dataset.tasks[0], classes=model.labels),))
    judged = judge(ask(model, labelled).predictions, seed=0, rounds=5)
    shown = mistake_pictures(model, labelled, judged.mistakes)
    model.close()
    assert shown
    for one in shown:
        assert one.heat is not None
        assert max(pixels_of(one.picture).shape) <= 240


def test_a_batch_of_any_size_is_run_in_the_engine_s_batches() -> None:
    model = BundleModel(shipped_store().open("efficientnet_lite0"), "fake", threads=1)
    pictures = np.random.default_rng(0).integers(0, 256, (BATCH + 3, 224, 224, 3), np.uint8)
    one_by_one = np.concatenate([model.logits(pictures[place : place + 1]) for place in range(len(pictures))])
    assert np.array_equal(model.logits(pictures), one_by_one)
    maps = model.maps(pictures)
    assert maps is not None
    assert maps.shape == (BATCH + 3, 7, 7)


def test_latencies_are_medians_of_interleaved_runs() -> None:
    bundle = shipped_store().open("efficientnet_lite0")
    models = [BundleModel(bundle, "fake", threads=1) for _ in range(2)]
    ticks = iter(range(10_000))
    first, second = measure_latency(models, seconds=30.0, clock=lambda: next(ticks))
    # Each look at this clock is a second later: a run takes one, and a slice of five seconds has room for two.
    assert (first.p50_ms, first.p90_ms, first.n) == (1000, 1000, 2 * ROUNDS)
    assert second.n == first.n
    assert first.backend == "fake"


def test_robustness_has_every_corruption_and_repeats_itself() -> None:
    from optimize.judging.corruptions import CORRUPTIONS

    model, dataset = Brightness(), shades(20, wrong=(7,))
    found = robustness(model, dataset, seed=3)
    assert found.clean.value == 0.95
    assert [(cell.corruption, cell.severity) for cell in found.cells] == [
        (name, severity) for name in CORRUPTIONS for severity in SEVERITIES
    ]
    assert found.mean == pytest.approx(np.mean([cell.top1.value for cell in found.cells]))
    assert robustness(model, dataset, seed=3) == found
    assert robustness(model, dataset, seed=3, most=8).n == 8


def test_a_run_is_judged_on_test_with_the_temperature_of_validation(tmp_path: Path) -> None:
    folder, model = RunFolder(tmp_path), Brightness()
    sets = {"val": shades(60, wrong=(1, 8, 30)), "test": shades(40, wrong=(2,))}
    answers = {split: ask(model, dataset).predictions for split, dataset in sets.items()}
    found = judge_run(folder, answers, seed=0, model=model, datasets=sets)
    assert found.test is not None
    assert found.main == ("test", found.test)
    assert found.test.calibration.temperature == fit_temperature(answers["val"])
    assert found.test.top1.value == 39 / 40
    assert RunJudgement.load(folder.judgement) == found
    assert json.loads(folder.judgement.read_bytes())["model"]["name"] == "brightness"
    split, shown = load_mistake_pictures(folder.mistakes)
    assert (split, [one.mistake.index for one in shown]) == ("test", [2])
    assert found.folded_temperature is None


@pytest.mark.parametrize(("temperature", "folded"), [(1.7, 1.7), (1.0, None), (None, None)])
def test_what_was_folded_into_the_bundle_is_kept(
    tmp_path: Path, temperature: float | None, folded: float | None
) -> None:
    answers = {"val": ask(Brightness(), shades(60, wrong=(1,))).predictions}
    judge_run(RunFolder(tmp_path), answers, seed=0, temperature=temperature)
    assert RunJudgement.load(RunFolder(tmp_path).judgement).folded_temperature == folded


def test_how_quick_a_run_s_bundle_is_lies_beside_its_judgement(tmp_path: Path) -> None:
    """Not in it: that file is the same whenever the run is judged."""
    model = BundleModel(shipped_store().open("efficientnet_lite0"), "fake", threads=1)
    answers = {"val": ask(Brightness(), shades(20)).predictions}
    files = []
    for name in ("one", "two"):
        folder = RunFolder(tmp_path / name)
        judge_run(folder, answers, seed=0, model=model, latency_seconds=0.05)
        files.append(folder.judgement.read_bytes())
        found = Latency.load(folder.latency)
        assert (found.model, found.backend, found.threads) == (model.name, "fake", 1)
        assert found.n >= ROUNDS
    model.close()
    assert files[0] == files[1]


def test_files_that_are_something_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_text('{"val": 3}')
    for load in (RunJudgement.load, Latency.load, load_mistake_pictures):
        for name in ("odd.json", "absent.json"):
            with pytest.raises(DataError, match=name):
                load(tmp_path / name)
