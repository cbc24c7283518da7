"""Times of narrower layers: the narrow graphs are those that would be exported, and figures are taken once."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import onnx
import pytest
import torch

from model_zoo.architectures import ARCHITECTURES
from model_zoo.bundle import Bundle, read_bundle
from model_zoo.export import export_onnx
from model_zoo.onnx_run import open_graph
from model_zoo.spec import ArchitectureRef
from model_zoo.weights import restore
from optimize.candidates import width_clock
from optimize.candidates.narrow_graph import narrow_graph
from optimize.candidates.recipe import PARENT
from optimize.candidates.width_clock import WidthClock, journaled
from optimize.errors import PassError
from optimize.judging.fused import work_of
from optimize.pruning.cost import Widths, cost_of
from optimize.pruning.groups import channel_groups
from optimize.pruning.options import PruneOptions
from optimize.pruning.prune import prune
from server.backends.errors import BackendUnavailableError
from tests.optimize.candidates.small import content, recipe
from tests.optimize.candidates.test_run import Cut, optimize
from tests.optimize.pruning.nets import SHORT, zoo_network
from tests.optimize.training.small_runs import SIDE


@pytest.fixture
def parent(tmp_path: Path) -> Bundle:
    return read_bundle(Path(content(tmp_path)["model"]))


def halves(bundle: Bundle) -> Widths:
    module = restore(bundle).requires_grad_(True)
    example = torch.zeros(1, 1, SIDE, SIDE)
    groups = channel_groups(module, example)
    return cost_of(module, example, groups).widths([group.channels // 2 for group in groups])


def test_a_narrow_graph_is_as_wide_as_is_said_and_runs(parent: Bundle) -> None:
    widths = halves(parent)
    graph = narrow_graph(parent.read_model(), widths)
    shapes = {one.name: tuple(one.dims) for one in onnx.load_from_string(graph).graph.initializer}
    convolutions = {name: shape for name, shape in shapes.items() if name.endswith(".weight") and len(shape) == 4}
    assert {name: shape[0] for name, shape in convolutions.items()} == {
        name: widths[name.removesuffix(".weight")][1] for name in convolutions
    }
    assert len(convolutions) == 16, "all but the pooling, which is as wide as what it pools"
    shown = np.zeros((2, SIDE, SIDE, 1), np.uint8)
    assert open_graph(graph, "images")(shown)["logits"].shape == (2, 2)
    assert sum(work_of(graph).values()) < 0.5 * sum(work_of(parent.read_model()).values())


FAMILIES = ("mobilenet_v2", "mobilenet_v3_small", "efficientnet_lite0", "resnet18", "squeezenet1_1", *SHORT)


@pytest.mark.parametrize("name", ["grey28_small", *(pytest.param(one, marks=pytest.mark.slow) for one in FAMILIES)])
def test_a_narrow_graph_is_as_much_work_as_the_pruned_networks_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in SHORT:
        monkeypatch.setitem(ARCHITECTURES, name, f"tests.optimize.pruning.nets:{name}")
    network = zoo_network(name)
    pruned = prune(network, PruneOptions(macs=0.5))
    widths = {layer.name: layer.after for layer in pruned.layers}
    mine = narrow_graph(export_onnx(network.module, network.spec), widths)
    theirs = export_onnx(pruned.network.module, network.spec)
    assert sum(work_of(mine).values()) == sum(work_of(theirs).values())


def test_a_graph_that_names_its_weights_otherwise_is_refused(parent: Bundle) -> None:
    model = onnx.load_from_string(parent.read_model())
    for tensor in model.graph.initializer:
        old, tensor.name = tensor.name, f"w{tensor.name}"
        for node in model.graph.node:
            node.input[:] = [tensor.name if name == old else name for name in node.input]
    with pytest.raises(PassError, match="is not known by its weights"):
        narrow_graph(model.SerializeToString(), halves(parent))


def test_the_engine_times_narrow_networks_beside_the_parent(tmp_path: Path, parent: Bundle) -> None:
    clock = WidthClock(parent, parent, recipe(tmp_path).measure)
    share = clock(halves(parent))
    clock.close()
    assert 0 < share < float("inf")


def test_what_was_timed_is_not_timed_again(tmp_path: Path, parent: Bundle) -> None:
    (tmp_path / "state.json").write_text("{}")
    answers = iter([0.5, 0.25])
    for _ in range(2):
        once = journaled(lambda _: next(answers), parent, tmp_path)
        assert once({"a": (1, 2)}) == 0.5
    assert journaled(lambda _: next(answers), parent, tmp_path)({"a": (1, 1)}) == 0.25


def test_networks_of_equal_widths_have_times_of_their_own(tmp_path: Path, parent: Bundle) -> None:
    """A network that looks at the mirror image too has the same layers and takes twice as long; a pruned one is timed
    as the whole one is, by the widths that are asked for."""
    (tmp_path / "state.json").write_text("{}")
    answers = iter([0.5, 1.0, 0.7])

    def said(name: str, **arguments: Any) -> float:  # noqa: ANN401
        spec = replace(parent.spec, architecture=ArchitectureRef(name, {"num_classes": 2, **arguments}))
        bundle = cast(Bundle, SimpleNamespace(spec=spec))
        return journaled(lambda _: next(answers), bundle, tmp_path)({"a": (1, 2)})

    assert said("grey28") == 0.5
    assert said("grey28", mirrored=True) == 1.0
    assert said("grey28_wide") == 0.7
    assert said("pruned:grey28", layers="1-2") == 0.5
    assert said("pruned:grey28", layers="1-2", mirrored=True) == 1.0


def test_an_engine_that_fails_once_may_be_asked_again(
    tmp_path: Path, parent: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> float:
        raise BackendUnavailableError("the engine is busy")

    clock = WidthClock(parent, parent, recipe(tmp_path).measure)
    with monkeypatch.context() as patch:
        patch.setattr(width_clock, "times_as_fast", fail)
        with pytest.raises(BackendUnavailableError):
            clock(halves(parent))
    assert clock(halves(parent)) > 0
    clock.close()


def test_a_candidate_that_was_killed_while_it_was_timed_comes_out_as_the_figures_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the clock would say the second time: what it said is journaled."""
    timed = {"name": "prune", "latency": 0.6, "round_to": 4}
    one = recipe(tmp_path, {"name": "quick", "steps": [timed]})
    asked: list[bytes] = []

    def times(left: int | None) -> Any:  # noqa: ANN401
        def measure(mine: Any, theirs: Any, *_: object) -> float:  # noqa: ANN401
            if len(asked) == left:
                raise Cut
            asked.append(mine.bundle.read_model())
            work, whole = (sum(work_of(each.bundle.read_model()).values()) for each in (mine, theirs))
            return float(whole / work) + 1e-3 * len(asked)

        return measure

    monkeypatch.setattr(width_clock, "times_as_fast", times(5))
    with pytest.raises(Cut):
        optimize(one, tmp_path / "run")
    monkeypatch.setattr(width_clock, "times_as_fast", times(None))
    result = optimize(one, tmp_path / "run")
    assert result.candidate("quick").state == "made", result.candidate("quick").reason
    assert 0.4 < result.candidate("quick").macs / result.candidate(PARENT).macs < 0.75
    before = len(asked)
    assert optimize(one, tmp_path / "run").candidate("quick") == result.candidate("quick")
    assert len(asked) == before
    assert len(asked) == len(set(asked)), "no widths are timed twice"
