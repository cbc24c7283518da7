"""Teachers from every place that a recipe may name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from model_zoo.architectures import build, input_spec
from model_zoo.bundle import Bundle
from model_zoo.export import Provenance, export_bundle
from model_zoo.spec import ArchitectureRef, OutputSpec
from optimize.errors import CheckpointError, DataError, OptimizeError, RecipeError
from optimize.training.run_folder import RunFolder
from optimize.training.teacher.ensemble import EnsembleTeacher
from optimize.training.teacher.graph_teacher import GraphTeacher
from optimize.training.teacher.options import TeacherOptions
from optimize.training.teacher.read import read_teacher
from optimize.training.teacher.teacher import Teacher, TorchTeacher
from server.backends import BackendOptions
from server.backends.errors import BackendLoadError
from server.backends.selection import OpenedBackend, open_backend
from tests.model_zoo.drafts import INPUT
from tests.optimize.training.teacher.bundles import COLOURS, bright_pictures, write_means

CLASSES = ("coat", "bag", "shoe")


def options(**settings: object) -> TeacherOptions:
    return TeacherOptions.model_validate(settings)


def shaken(network: nn.Module) -> nn.Module:
    """With batch-norm statistics that are not the first ones."""
    torch.manual_seed(3)
    network.train()(torch.rand(8, 1, 28, 28))
    return network.eval()


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(2)
    return shaken(build("grey28", 3))


@pytest.fixture(scope="module")
def exported(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a real bundle, float weights beside its graph."""
    store = tmp_path_factory.mktemp("run") / "store"
    export_bundle(
        network,
        name="fashion",
        store=store,
        spec=input_spec("grey28"),
        labels=CLASSES,
        provenance=Provenance(licence="Apache-2.0", source="tests"),
        architecture=ArchitectureRef("grey28", {"num_classes": 3}),
    )
    return store


def by_hand(network: nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    spec = input_spec("grey28")
    with torch.no_grad():
        logits: torch.Tensor = network((pictures * 255 - spec.graph_mean[0]) / spec.graph_std[0])
    return logits


class TestBundleWithWeights:
    def test_is_the_float_network(self, network: nn.Module, exported: Path) -> None:
        teacher = read_teacher(options(source=str(exported / "fashion" / "1")), CLASSES)
        assert isinstance(teacher, TorchTeacher)
        pictures = torch.rand(4, 1, 28, 28)
        torch.testing.assert_close(teacher(pictures).logits, by_hand(network, pictures), rtol=1e-4, atol=1e-5)

    def test_its_graph_says_the_same(self, exported: Path) -> None:
        source = str(exported / "fashion" / "1")
        levels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 1, 28, 28))).float() / 255
        turned = ("shoe", "coat", "bag")
        graph = read_teacher(options(source=source, runs="onnx", batch_size=2), turned)
        assert isinstance(graph, GraphTeacher)
        torch.testing.assert_close(
            graph(levels).logits, read_teacher(options(source=source), turned)(levels).logits, rtol=1e-3, atol=1e-3
        )
        assert graph.fingerprint != read_teacher(options(source=source), turned).fingerprint

    @pytest.mark.parametrize(
        ("settings", "kind"),
        [({}, GraphTeacher), ({"runs": "torch"}, TorchTeacher), ({"size": "student"}, TorchTeacher)],
    )
    def test_where_the_graph_will_do_it_is_taken_unless_told(
        self, exported: Path, settings: dict[str, str], kind: type[Teacher]
    ) -> None:
        chosen = options(source=str(exported / "fashion" / "1"), **settings)
        assert isinstance(read_teacher(chosen, CLASSES, by_graph=True), kind)
        assert isinstance(read_teacher(chosen, CLASSES, by_graph=False), TorchTeacher)

    @pytest.mark.parametrize(("runs", "error"), [("auto", None), ("onnx", CheckpointError)])
    def test_where_no_engine_takes_the_graph_torch_does_unless_told(
        self, exported: Path, monkeypatch: pytest.MonkeyPatch, runs: str, error: type[OptimizeError] | None
    ) -> None:
        def refuse(bundle: Bundle, options: BackendOptions) -> OpenedBackend:
            raise BackendLoadError("this one can't be opened")

        monkeypatch.setattr("optimize.training.teacher.graph_teacher.open_backend", refuse)
        chosen = options(source=str(exported / "fashion" / "1"), runs=runs)
        if error is None:
            assert isinstance(read_teacher(chosen, CLASSES, by_graph=True), TorchTeacher)
        else:
            with pytest.raises(error, match="can't be opened"):
                read_teacher(chosen, CLASSES, by_graph=True)

    @pytest.mark.parametrize(("asked", "threads"), [(0, 3), (2, 2)])
    def test_its_graph_has_the_training_s_threads_unless_told(
        self, exported: Path, monkeypatch: pytest.MonkeyPatch, asked: int, threads: int
    ) -> None:
        opened: list[int] = []

        def note(bundle: Bundle, options: BackendOptions) -> OpenedBackend:
            opened.append(options.threads)
            return open_backend(bundle, options)

        monkeypatch.setattr("optimize.training.teacher.graph_teacher.open_backend", note)
        monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
        read_teacher(options(source=str(exported / "fashion" / "1"), runs="onnx", threads=asked), CLASSES).close()
        assert opened == [threads]

    def test_its_engine_is_given_back(self, exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        source = str(exported / "fashion" / "1")
        several = read_teacher(options(sources=[source, source], runs="onnx"), CLASSES)
        assert isinstance(several, EnsembleTeacher)
        closed = []
        for member in several.members:
            assert isinstance(member, GraphTeacher)
            monkeypatch.setattr(member._backend, "close", lambda one=member: closed.append(one))
        several.close()
        assert closed == list(several.members)

    @pytest.mark.parametrize("place", ["fashion/1", "fashion", ".", ".."])
    def test_is_found_by_its_model_its_store_and_its_run(self, exported: Path, place: str) -> None:
        teacher = read_teacher(options(source=place), CLASSES, folder=exported)
        assert teacher.said == "fashion/1"

    def test_is_found_by_name_in_a_store(self, exported: Path) -> None:
        for name in ("fashion", "fashion/1"):
            assert read_teacher(options(source=name, store=str(exported)), CLASSES).said == "fashion/1"

    def test_other_classes_are_named(self, exported: Path) -> None:
        with pytest.raises(DataError, match=r"'boot'.*'shoe'"):
            read_teacher(options(source=str(exported)), ("coat", "bag", "boot"))


class TestBundleWithoutWeights:
    def test_runs_as_a_graph(self, tmp_path: Path) -> None:
        write_means(tmp_path)
        teacher = read_teacher(options(source=str(tmp_path), batch_size=2), ("blue", "red", "green"))
        pictures = bright_pictures()
        expected = 255 * pictures.mean((2, 3))[:, [2, 0, 1]]
        torch.testing.assert_close(teacher(pictures).logits, expected, rtol=1e-5, atol=1e-3)

    def test_resizes_for_itself(self, tmp_path: Path) -> None:
        write_means(tmp_path)
        teacher = read_teacher(options(source=str(tmp_path)), COLOURS)
        flat = torch.full((1, 3, 20, 30), 0.4)
        torch.testing.assert_close(teacher(flat).logits, torch.full((1, 3), 102.0))

    def test_takes_as_many_as_the_graph_does(self, tmp_path: Path) -> None:
        write_means(tmp_path, input=replace(INPUT, max_batch=2))
        teacher = read_teacher(options(source=str(tmp_path), batch_size=64), COLOURS)
        assert teacher(bright_pictures(5)).logits.shape == (5, 3)

    def test_scores_become_logits(self, tmp_path: Path) -> None:
        write_means(tmp_path, outputs=(OutputSpec("logits", "scores", "none"),))
        pictures = bright_pictures()
        logits = read_teacher(options(source=str(tmp_path)), COLOURS)(pictures).logits
        torch.testing.assert_close(logits, (255 * pictures.mean((2, 3))).log(), rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize(
        ("settings", "said"),
        [({"runs": "torch"}, "no float weights"), ({"size": "student"}, 'take size = "own"')],
    )
    def test_what_a_graph_cannot_do(self, tmp_path: Path, settings: dict[str, str], said: str) -> None:
        write_means(tmp_path)
        with pytest.raises(OptimizeError, match=said):
            read_teacher(options(source=str(tmp_path), **settings), COLOURS)

    def test_shows_no_layers(self, tmp_path: Path) -> None:
        write_means(tmp_path)
        teacher = read_teacher(options(source=str(tmp_path)), COLOURS)
        teacher.tap([])
        with pytest.raises(RecipeError, match="gives logits only"):
            teacher.tap(["head"])

    def test_a_shipped_bundle_is_found_by_its_name(self) -> None:
        with pytest.raises(DataError, match="efficientnet_lite0/3 and the data must have the same classes"):
            read_teacher(options(source="efficientnet_lite0"), COLOURS)


class TestCheckpoint:
    def write(self, network: nn.Module, folder: Path) -> Path:
        path = folder / "weights.safetensors"
        save_file(network.state_dict(), path)
        return path

    def test_with_its_architecture(self, network: nn.Module, tmp_path: Path) -> None:
        path = self.write(network, tmp_path)
        teacher = read_teacher(options(source=str(path), architecture="grey28"), CLASSES)
        pictures = torch.rand(4, 1, 28, 28)
        torch.testing.assert_close(teacher(pictures).logits, by_hand(network, pictures), rtol=1e-4, atol=1e-5)

    def test_with_its_own_class_names(self, network: nn.Module, tmp_path: Path) -> None:
        path = self.write(network, tmp_path)
        (tmp_path / "labels.txt").write_text("coat\nbag\nshoe\n", encoding="utf-8")
        teacher = read_teacher(
            options(source=path.name, architecture="grey28", labels="labels.txt"),
            ("shoe", "coat", "bag"),
            folder=tmp_path,
        )
        pictures = torch.rand(2, 1, 28, 28)
        torch.testing.assert_close(teacher(pictures).logits, by_hand(network, pictures)[:, [2, 0, 1]])

    def test_its_print_is_of_its_content(self, network: nn.Module, tmp_path: Path) -> None:
        path = self.write(network, tmp_path)
        wanted = options(source=str(path), architecture="grey28")
        first = read_teacher(wanted, CLASSES).fingerprint
        assert read_teacher(wanted, CLASSES).fingerprint == first
        self.write(shaken(build("grey28", 3)), tmp_path)
        assert read_teacher(wanted, CLASSES).fingerprint != first

    @pytest.mark.parametrize(
        ("settings", "classes", "said"),
        [
            ({}, CLASSES, "say of what network"),
            ({"architecture": "grey28", "runs": "onnx"}, CLASSES, "has no graph"),
            ({"architecture": "grey82"}, CLASSES, "did you mean 'grey28'"),
            ({"architecture": "grey28"}, ("a", "b"), "was taken to have the data's 2 classes"),
            ({"architecture": "resnet18"}, CLASSES, "do not fit"),
            ({"architecture": "grey28", "labels": "nowhere.txt"}, CLASSES, "nowhere.txt"),
        ],
    )
    def test_what_does_not_fit(
        self, network: nn.Module, tmp_path: Path, settings: dict[str, str], classes: tuple[str, ...], said: str
    ) -> None:
        path = self.write(network, tmp_path)
        with pytest.raises(OptimizeError, match=said):
            read_teacher(options(source=str(path), **settings), classes)

    def test_a_file_that_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "x.pt").write_bytes(b"not a checkpoint")
        with pytest.raises(CheckpointError, match=r"x\.pt"):
            read_teacher(options(source=str(tmp_path / "x.pt"), architecture="grey28"), CLASSES)


def test_several_are_an_ensemble(tmp_path: Path) -> None:
    write_means(tmp_path / "a")
    write_means(tmp_path / "b")
    both = options(sources=[str(tmp_path / "a"), str(tmp_path / "b")], weights=[1.0, 2.0])
    teacher = read_teacher(both, COLOURS)
    assert isinstance(teacher, EnsembleTeacher)
    pictures = bright_pictures()
    one = read_teacher(options(source=str(tmp_path / "a")), COLOURS)(pictures).logits
    torch.testing.assert_close(teacher(pictures).logits, one.log_softmax(dim=1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "one of the two"),
        ({"source": "a", "sources": ["b"]}, "one of the two"),
        ({"sources": ["a", "b"], "weights": [1.0]}, "2 sources and 1 weights"),
        ({"sources": ["a", "b"], "weights": [1.0, 0.0]}, "greater than 0"),
        ({"source": "a", "run": "onnx"}, "run"),
    ],
)
def test_options_are_strict(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        options(**settings)


def test_what_is_nowhere(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not there"):
        read_teacher(options(source="nothing"), COLOURS, folder=tmp_path)
    with pytest.raises(CheckpointError, match="one bundle is wanted here, and there is none"):
        read_teacher(options(source=str(tmp_path)), COLOURS)


def test_a_store_with_two_models_does_not_say_which(tmp_path: Path) -> None:
    write_means(tmp_path)
    write_means(tmp_path, name="others")
    with pytest.raises(CheckpointError, match="means, others; name one"):
        read_teacher(options(source=str(tmp_path)), COLOURS)


def test_a_run_that_is_not_finished(tmp_path: Path) -> None:
    RunFolder(tmp_path).recipe.write_text("", encoding="utf-8")
    with pytest.raises(CheckpointError, match="made no bundle yet"):
        read_teacher(options(source=str(tmp_path)), COLOURS)


def test_a_damaged_bundle_is_refused(tmp_path: Path) -> None:
    bundle = write_means(tmp_path)
    bundle.model_path.write_bytes(b"x" * bundle.model_path.stat().st_size)
    with pytest.raises(CheckpointError, match=r"model\.onnx"):
        read_teacher(options(source=str(tmp_path)), COLOURS)
