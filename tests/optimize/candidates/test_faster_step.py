"""The step ``faster_kernels``: times decide, and are taken once."""

import json
from pathlib import Path
from typing import Any

import pytest

from model_zoo.bundle import Bundle, read_bundle
from model_zoo.store import Store
from optimize.candidates import faster_step
from optimize.candidates import run as running
from optimize.candidates.faster_step import BundleClock, journaled
from optimize.candidates.opening import open_bench, open_parent
from optimize.candidates.recipe import PARENT, OptimizeRecipe
from optimize.candidates.report import render
from optimize.candidates.result import Result
from optimize.candidates.run import Run
from optimize.candidates.speed import Speed
from optimize.errors import PassError, RecipeError
from optimize.passes.layer_weights import read_model, write_model
from optimize.passes.rewrites import load_rewrite
from optimize.passes.rewrites.faster import Timed
from server.backends.errors import BackendLoadError, BackendUnavailableError
from tests.optimize.candidates.small import INT8, content, lost, recipe, speed
from tests.optimize.candidates.test_run import Cut, opened

FASTER = {"name": "faster_kernels"}
QUICK = {"name": "quick", "steps": [FASTER]}


@pytest.fixture(autouse=True)
def _untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates take no time."""
    monkeypatch.setattr(running, "measure_speed", lambda *_: speed(1.0))


@pytest.fixture
def parent(tmp_path: Path) -> Bundle:
    return read_bundle(Path(content(tmp_path)["model"]))


def clocked(monkeypatch: pytest.MonkeyPatch, asked: list[bytes], faster: float, left: int | None = None) -> None:
    """Whatever is rewritten is so much faster; after ``left`` answers the process is gone."""

    def measure(after: Any, before: Any, _: object) -> Speed:  # noqa: ANN401
        if len(asked) == left:
            raise Cut
        asked.append(after.bundle.read_model())
        return speed(faster + 1e-3 * len(asked))

    monkeypatch.setattr(faster_step, "measure_speed", measure)


def optimize(one: OptimizeRecipe, folder: Path, said: list[str] | None = None) -> Result:
    return Run(opened(one, folder, say=lambda line: None if said is None else said.append(line))).result()


def models(folder: Path) -> dict[str, bytes]:
    return {path.parts[-5]: path.read_bytes() for path in (folder / "steps").rglob("model.onnx")}


def test_what_is_faster_is_kept_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    clocked(monkeypatch, asked, 1.5)
    said: list[str] = []
    result = optimize(recipe(tmp_path, QUICK), tmp_path / "run", said)
    one = result.candidate("quick")
    assert one.state == "made", one.reason
    assert one.val is not None
    assert (one.val.same_answer, len(one.notes)) == (1.0, 3)
    kept = [note for note in one.notes if ": kept; 1.50× (± 0.01) of " in note]
    assert kept
    assert all(f"faster_kernels: {note}" in said for note in one.notes)
    page = render(result, None, "", "", ())
    assert all(note in page for note in one.notes)
    (model,) = models(tmp_path / "run").values()
    assert model in asked


def test_where_nothing_is_faster_the_graph_stays(
    tmp_path: Path, parent: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocked(monkeypatch, [], 0.5)
    one = optimize(recipe(tmp_path, QUICK), tmp_path / "run").candidate("quick")
    assert (one.state, one.bytes) == ("made", len(parent.read_model()))
    assert list(models(tmp_path / "run").values()) == [parent.read_model()]
    assert not any("kept;" in note and "not kept" not in note for note in one.notes)


@pytest.mark.parametrize("at", [0, 2])
def test_a_run_that_was_killed_while_it_timed_comes_to_the_graph_that_the_journal_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Of what was timed before the kill the clock would say something else now."""
    chain = {"name": "int8-quick", "steps": [INT8, FASTER]}
    before: list[bytes] = []
    clocked(monkeypatch, before, 0.9, left=at)
    with pytest.raises(Cut):
        optimize(recipe(tmp_path, chain), tmp_path / "run")
    journal = json.loads((tmp_path / "run" / "state.json").read_text())
    taken = {key: value for key, value in journal.items() if key.startswith("rewrite ")}
    assert len(taken) == at
    after: list[bytes] = []
    clocked(monkeypatch, after, 1.3)
    first = optimize(recipe(tmp_path, chain), tmp_path / "run").candidate("int8-quick")
    assert not set(before) & set(after), "nothing is timed twice"
    journal = json.loads((tmp_path / "run" / "state.json").read_text())
    assert {key: journal[key] for key in taken} == taken
    clocked(monkeypatch, after, 0.1)
    made, count = models(tmp_path / "run"), len(after)
    assert optimize(recipe(tmp_path, chain), tmp_path / "run").candidate("int8-quick") == first
    assert (models(tmp_path / "run"), len(after)) == (made, count)


def changed(parent: Bundle) -> bytes:
    model = read_model(parent.read_model())
    load_rewrite("first_convolution")(model)
    return write_model(model)


def test_the_engine_times_both(tmp_path: Path, parent: Bundle) -> None:
    timed = BundleClock(parent, recipe(tmp_path).measure)(changed(parent), parent.read_model())
    assert timed.faster > 0
    assert timed.throughput > 0


def test_a_refusal_is_an_answer_and_a_missing_engine_is_none(
    tmp_path: Path, parent: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state.json").write_text("{}")
    real = faster_step.BundleModel
    options, model = recipe(tmp_path).measure, changed(parent)

    def opened_with(error: Exception) -> None:
        def take(bundle: Bundle, *more: Any, **options: Any) -> Any:  # noqa: ANN401
            if bundle.read_model() == model:
                raise error
            return real(bundle, *more, **options)

        monkeypatch.setattr(faster_step, "BundleModel", take)

    clock = journaled(BundleClock(parent, options), tmp_path)
    opened_with(BackendUnavailableError("the engine is not there"))
    with pytest.raises(BackendUnavailableError):
        clock(model, parent.read_model())
    opened_with(BackendLoadError("no such operator"))
    for _ in range(2):
        with pytest.raises(PassError, match="no such operator"):
            clock(model, parent.read_model())
        monkeypatch.setattr(faster_step, "BundleModel", real)


def test_both_graphs_are_what_a_time_is_known_by(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{}")
    answers = iter([1.1, 1.2, 1.3])

    def ask(*graphs: bytes) -> float:
        def clock(*_: bytes) -> Timed:
            faster = next(answers)
            return Timed(faster=faster, spread=0.0, throughput=faster, throughput_spread=0.0)

        return journaled(clock, tmp_path)(*graphs).faster

    assert [ask(b"a", b"b"), ask(b"b", b"a"), ask(b"a", b"b"), ask(b"a", b"c")] == [1.1, 1.2, 1.1, 1.3]


def test_it_comes_after_what_needs_the_network_and_is_not_measured_for_what_is_hopeless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = recipe(tmp_path, {"name": "late", "steps": [FASTER, {"name": "resize", "height": 12}]})
    with pytest.raises(RecipeError, match="resize needs the float network, and after faster_kernels there is none"):
        open_bench(one, tmp_path / "run", open_parent(one.model, Store(tmp_path), tmp_path), _never, print)
    monkeypatch.setattr(running, "paired", lambda *_, **__: lost(80.0, 0.1))
    chains = ({"name": "int8", "steps": [INT8]}, {"name": "int8-quick", "steps": [INT8, FASTER]})
    result = optimize(recipe(tmp_path, *chains), tmp_path / "run")
    assert [each.name for each in result.candidates] == [PARENT, "int8", "int8-quick"]
    assert result.candidate("int8-quick").state == "dropped"


def _never(*_: object, **__: object) -> Any:  # noqa: ANN401
    raise AssertionError("nothing is trained")
