"""Find and open the teacher that a recipe names."""

from collections.abc import Sequence
from pathlib import Path

import torch

from model_zoo.bundle import Bundle
from model_zoo.errors import ModelZooError
from model_zoo.store import Store, parse_reference, shipped_store
from optimize.errors import CheckpointError, DataError, MissingLibraryError, RecipeError
from optimize.training.bundle_at import bundle_at
from optimize.training.teacher.ensemble import EnsembleTeacher
from optimize.training.teacher.graph_teacher import GraphTeacher
from optimize.training.teacher.options import TeacherOptions
from optimize.training.teacher.teacher import Teacher, TorchTeacher
from optimize.training.weights_digest import weights_digest
from server.backends import BackendOptions


def read_teacher(
    options: TeacherOptions,
    classes: Sequence[str],
    *,
    folder: Path | None = None,
    device: torch.device | str = "cpu",
    by_graph: bool = False,
) -> Teacher:
    """Open it, frozen, in evaluation mode, on its device.

    Args:
        classes: the student's, of the first task.
        folder: what relative paths start from, the working folder by default.
        by_graph: ``runs = "auto"`` means the graph of a float bundle, not its float network.
    Raises:
        CheckpointError: nothing is there, it can't be read or run, or weights do not fit their architecture.
        DataError: its classes are not the student's; the message names the difference.
        RecipeError: what the options ask for can't be.
        MissingLibraryError: no engine is installed for a bundle without float weights.
    """
    reader = _Reader(options, tuple(classes), folder or Path(), str(device), by_graph)
    members = [reader.read(source) for source in options.all_sources]
    teacher = members[0] if options.source is not None else EnsembleTeacher(members, options.weights)
    return teacher.to(device)


class _Reader:
    """The options, and one source after the other."""

    def __init__(
        self, options: TeacherOptions, classes: tuple[str, ...], folder: Path, device: str, by_graph: bool
    ) -> None:
        self.options = options
        self.classes = classes
        self.folder = folder
        self.device = device
        self.by_graph = by_graph and options.runs == "auto" and options.size == "own"

    def read(self, source: str) -> Teacher:
        path = self.folder / Path(source).expanduser()
        if path.is_file():
            return self._of_checkpoint(path)
        if path.is_dir():
            return self._of_bundle(bundle_at(path))
        return self._of_bundle(self._named(source, path))

    def _named(self, source: str, path: Path) -> Bundle:
        store = Store(self.folder / self.options.store) if self.options.store else shipped_store()
        try:
            return store.open(*parse_reference(source))
        except ModelZooError as error:
            raise CheckpointError(f"the teacher {source!r}: {path} is not there, and {error}") from error

    def _of_bundle(self, bundle: Bundle) -> Teacher:
        said = f"{bundle.spec.name}/{bundle.spec.version}"
        if bundle.spec.task != "classification":
            raise CheckpointError(f"the teacher {said} is for {bundle.spec.task}; only classification can be distilled")
        has_weights = bundle.weights_path is not None and bundle.spec.architecture is not None
        if self.options.runs == "torch" and not has_weights:
            raise CheckpointError(f'the teacher {said} has no float weights: take runs = "auto" or "onnx"')
        takes_graph = self.options.runs == "onnx" or (self.by_graph and bundle.spec.precision == "fp32")
        if has_weights and not takes_graph:
            return self._restored(bundle, said)
        if has_weights and self.options.runs == "auto":
            try:
                return GraphTeacher(bundle, self._backend_options(), said=said, classes=self.classes)
            except (CheckpointError, MissingLibraryError):  # no engine here takes it; torch does
                return self._restored(bundle, said)
        if self.options.size == "student":
            raise RecipeError(f'the teacher {said} runs as a graph, which has one size: take size = "own"')
        return GraphTeacher(bundle, self._backend_options(), said=said, classes=self.classes)

    def _restored(self, bundle: Bundle, said: str) -> Teacher:
        from model_zoo.weights import restore

        try:
            network = restore(bundle)
        except ModelZooError as error:
            raise CheckpointError(f"the teacher {said}: {error}") from error
        return TorchTeacher(
            network,
            bundle.spec.input,
            said=said,
            fingerprint=f"{bundle.fingerprint} torch {self.options.size}",
            own=bundle.labels,
            classes=self.classes,
            own_size=self.options.size == "own",
        )

    def _of_checkpoint(self, path: Path) -> Teacher:
        from model_zoo.architectures import build, input_spec
        from model_zoo.weights import fit_weights, load_weights

        architecture, labels = self.options.architecture, self._labels()
        if architecture is None:
            raise RecipeError(f'the teacher {path} is a checkpoint: say of what network with architecture = "…"')
        if self.options.runs == "onnx":
            raise RecipeError(f'the teacher {path} is a checkpoint and has no graph: take runs = "auto" or "torch"')
        try:
            network = build(architecture, len(labels), **self.options.arguments)
            state = load_weights(path)
            fit_weights(network, state)
            spec = input_spec(architecture)
        except ModelZooError as error:
            hint = "" if self.options.labels else f"; it was taken to have the data's {len(labels)} classes"
            raise CheckpointError(f"the teacher {path}: {error}{hint}") from error
        return TorchTeacher(
            network,
            spec,
            said=str(path),
            fingerprint=f"{weights_digest(state)} {architecture} {self.options.arguments} {self.options.size}",
            own=labels,
            classes=self.classes,
            own_size=self.options.size == "own",
        )

    def _labels(self) -> tuple[str, ...]:
        if self.options.labels is None:
            return self.classes
        path = self.folder / self.options.labels
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: the teacher's class names can't be read: {error}") from error
        return tuple(line.strip() for line in lines if line.strip())

    def _backend_options(self) -> BackendOptions:
        return BackendOptions(
            device="auto" if self.device.startswith("cuda") else "cpu",
            threads=self.options.threads or torch.get_num_threads(),
            extra={"openvino.precision": "f32"},
            max_batch_size=self.options.batch_size,
        )
