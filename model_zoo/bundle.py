"""A bundle: one version of one model in a folder, whole and verified or not at all.

``read_bundle`` trusts nothing in the folder: the manifest is a stranger's
(``manifest.py``), the files are opened by ``bundle_files.py``, and sizes are
known before anything is read. ``write_bundle`` writes into a hidden folder of
the store, syncs it, reads it back as any reader would, and renames it: two
writers get two versions, and a crash leaves at most a hidden folder.

It is not opened here what only engines open: a graph that names files outside
the bundle is refused when the bundle is written (``onnx_safety.py``), and by
``quickeye models verify``.
"""

import contextlib
import errno
import hashlib
import shutil
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from model_zoo.bundle_files import (
    check_labels,
    describe,
    parse_labels,
    read_limited,
    read_listed,
    sync_folder,
    verify_listed,
    verify_listing,
    write_synced,
)
from model_zoo.check import CheckSet
from model_zoo.errors import BundleError
from model_zoo.manifest import (
    MAX_BUNDLE_BYTES,
    MAX_MANIFEST_BYTES,
    Abstain,
    Accuracy,
    FilePart,
    Latency,
    Lineage,
    Manifest,
    parse_manifest,
    refuse_bad_name,
)
from model_zoo.manifest_spec import manifest_of, spec_of
from model_zoo.spec import CLASS_ACTIVATION, ArchitectureRef, InputSpec, ModelSpec, OutputSpec, Precision, Task

REQUIRED = ("model.onnx", "check.npz", "labels.txt", "CARD.md")
TWIN = "model.s8.onnx"
TEMPORARY_PREFIX = ".writing-"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle on disk that was whole when it was read.

    ``fingerprint`` is the sha256 of ``manifest.json``, which lists the hash of
    every other file: equal fingerprints are equal bundles.
    """

    folder: Path
    spec: ModelSpec
    labels: tuple[str, ...]
    manifest: Manifest
    fingerprint: str

    @property
    def model_path(self) -> Path:
        """``model.onnx``. Prefer ``read_model``: it gives the bytes that were verified."""
        return self.folder / "model.onnx"

    @property
    def weights_path(self) -> Path | None:
        """``weights.safetensors``, if the bundle has it."""
        return self.folder / "weights.safetensors" if _entry(self.manifest, "weights.safetensors") else None

    @property
    def size_bytes(self) -> int:
        """All listed files together."""
        return sum(file.bytes for file in self.manifest.files)

    def read(self, name: str) -> bytes:
        """The bytes of a listed file, verified as they are read.

        Raises:
            BundleError: not listed, or changed since the bundle was written.
        """
        file = _entry(self.manifest, name)
        if file is None:
            raise BundleError(f"{self.folder}: the bundle has no {name}")
        return read_listed(self.folder, file)

    def read_model(self) -> bytes:
        """The bytes of ``model.onnx``; give these to the engine, so that what runs is what was verified."""
        return self.read("model.onnx")

    @property
    def has_twin(self) -> bool:
        """Whether an 8-bit bundle has its graph also without zero points, for TensorRT."""
        return self.spec.precision == "int8" and _entry(self.manifest, TWIN) is not None

    def read_twin(self) -> bytes | None:
        """The bytes of ``model.s8.onnx``, None without one; verified as those of ``read_model``."""
        return self.read(TWIN) if self.has_twin else None

    def check(self) -> CheckSet:
        """The pictures and expected outputs of ``check.npz``."""
        return CheckSet.load(self.read("check.npz"))


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleDraft:
    """What ``write_bundle`` makes a bundle of.

    ``version`` None: the next free one. ``twin``: ``model`` without zero points, of an 8-bit bundle.
    """

    name: str
    input: InputSpec
    labels: tuple[str, ...]
    model: bytes
    check: CheckSet
    card: str
    licence: str
    source: str
    task: Task = "classification"
    outputs: tuple[OutputSpec, ...] = (OutputSpec("logits", "logits", "softmax"),)
    precision: Precision = "fp32"
    runs_on: tuple[str, ...] = ("onnxruntime", "openvino")
    version: int | None = None
    architecture: ArchitectureRef | None = None
    weights: bytes | None = None
    twin: bytes | None = None
    lineage: Lineage = field(default_factory=Lineage)
    accuracy: tuple[Accuracy, ...] = ()
    latency: tuple[Latency, ...] = ()
    abstain: Abstain | None = None


def _entry(manifest: Manifest, name: str) -> FilePart | None:
    return next((file for file in manifest.files if file.path == name), None)


def read_bundle(folder: Path, *, verify: bool = True) -> Bundle:
    """Read a bundle from ``<store>/<name>/<version>``.

    Args:
        verify: hash every file; without it, only those that are read here (labels, check).
    Raises:
        BundleError: incomplete, altered, hostile or not understood; the message says which file and why.
    """
    folder = Path(folder).absolute()
    bundle = _read(folder, verify)
    if (folder.parent.name, folder.name) != (bundle.spec.name, str(bundle.spec.version)):
        raise BundleError(
            f"{folder}: the manifest is of {bundle.spec.name}/{bundle.spec.version}, the folder says "
            f"{folder.parent.name}/{folder.name}"
        )
    return bundle


def _read(folder: Path, verify: bool) -> Bundle:
    _refuse_odd_folder(folder)
    data = read_limited(folder / "manifest.json", MAX_MANIFEST_BYTES)
    try:
        manifest = parse_manifest(data)
    except BundleError as error:
        raise BundleError(f"{folder}: {error}") from error
    _refuse_odd_files(folder, manifest)
    verify_listing(folder, manifest.files)
    if verify:
        for file in manifest.files:
            verify_listed(folder, file)
    return _assemble(folder, manifest, hashlib.sha256(data).hexdigest())


def _refuse_odd_folder(folder: Path) -> None:
    try:
        mode = folder.lstat().st_mode
    except (OSError, ValueError) as error:
        raise BundleError(f"{folder}: no bundle here ({error})") from error
    if not stat.S_ISDIR(mode):
        raise BundleError(f"{folder}: a bundle must be a folder, not a file or a symlink")


def _refuse_odd_files(folder: Path, manifest: Manifest) -> None:
    for name in REQUIRED:
        if _entry(manifest, name) is None:
            raise BundleError(f"{folder}: manifest.json does not list {name}, which every bundle has")
    if sum(file.bytes for file in manifest.files) > MAX_BUNDLE_BYTES:
        raise BundleError(f"{folder}: the files are larger than {MAX_BUNDLE_BYTES} bytes together")


def _assemble(folder: Path, manifest: Manifest, fingerprint: str) -> Bundle:
    bundle = Bundle(folder, spec_of(manifest), (), manifest, fingerprint)
    try:
        labels = parse_labels(bundle.read("labels.txt"))
        agree(bundle.spec, labels, bundle.check())
    except BundleError as error:
        raise BundleError(str(error) if str(folder) in str(error) else f"{folder}: {error}") from error
    return Bundle(folder, bundle.spec, labels, manifest, fingerprint)


def agree(spec: ModelSpec, labels: tuple[str, ...], check: CheckSet) -> None:
    """Refuse a spec, labels and check that speak of different models.

    Raises:
        BundleError: another input size, other outputs, or another number of classes.
    """
    size = (spec.input.height, spec.input.width, spec.input.channels)
    if check.pictures.shape[1:] != size:
        raise BundleError(f"check.npz has pictures of {check.pictures.shape[1:]}, the model takes {size}")
    names = [output.name for output in spec.outputs]
    if list(check.outputs) != names:
        raise BundleError(f"check.npz has the outputs {list(check.outputs)}, the manifest {names}")
    classes = check.outputs[names[0]].shape[1]
    if spec.task == "classification" and check.outputs[names[0]].shape != (len(check.pictures), len(labels)):
        raise BundleError(f"labels.txt has {len(labels)} names, the model {classes} classes")
    if spec.offers_class_activation and check.outputs[CLASS_ACTIVATION].ndim != 3:
        raise BundleError(f"check.npz must have maps (pictures, height, width) for the output {CLASS_ACTIVATION}")


def write_bundle(store: Path, draft: BundleDraft) -> Bundle:
    """Write a bundle into a store, whole or not at all.

    Args:
        store: its root; made if absent.
    Raises:
        BundleError: a reader would refuse it, its version exists, or the disk failed.
    """
    from model_zoo.onnx_safety import refuse_external_data

    refuse_bad_name(draft.name)
    check_labels(draft.labels)
    refuse_external_data(draft.model)
    if draft.twin is not None:
        refuse_external_data(draft.twin)
        if draft.precision != "int8":
            raise BundleError(f"{TWIN} is for 8-bit bundles, and this one is {draft.precision}")
    files = _files(draft)
    listing = [describe(name, data) for name, data in files.items()]
    try:
        store.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=store))
        try:
            temporary.chmod(0o755)
            for name, data in files.items():
                write_synced(temporary / name, data)
            return _publish(store, temporary, draft, listing)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise BundleError(f"{store}: the bundle can't be written: {error}") from error


def _files(draft: BundleDraft) -> dict[str, bytes]:
    files = {
        "model.onnx": draft.model,
        "check.npz": draft.check.save(),
        "labels.txt": "".join(f"{label}\n" for label in draft.labels).encode(),
        "CARD.md": draft.card.encode(),
    }
    more = {"weights.safetensors": draft.weights, TWIN: draft.twin}
    return files | {name: data for name, data in more.items() if data is not None}


def _publish(store: Path, temporary: Path, draft: BundleDraft, listing: list[FilePart]) -> Bundle:
    """Give the temporary folder a version and its place; another writer may take the version first."""
    while True:
        version = draft.version or _next_version(store / draft.name)
        manifest = manifest_of(
            _spec(draft, version),
            listing,
            lineage=draft.lineage,
            accuracy=draft.accuracy,
            latency=draft.latency,
            abstain=draft.abstain,
        )
        target = store / manifest.name / str(version)
        write_synced(temporary / "manifest.json", manifest.to_json())
        bundle = _read(temporary, verify=True)
        sync_folder(temporary)
        if _rename(temporary, target):
            # Whoever reads may remove: then there is nothing left to sync.
            with contextlib.suppress(FileNotFoundError):
                sync_folder(target.parent)
            sync_folder(store)
            return Bundle(target.absolute(), bundle.spec, bundle.labels, bundle.manifest, bundle.fingerprint)
        if draft.version is not None:
            raise BundleError(f"{target}: exists already; remove it first, or let the version be chosen")


def _rename(temporary: Path, target: Path) -> bool:
    """Whether the folder got its place; False when someone has it."""
    while True:
        try:
            target.parent.mkdir()
        except FileExistsError:
            # Not exist_ok, which wants a folder there still: a remover may have deleted it by then.
            if target.parent.is_file():
                raise
        try:
            temporary.rename(target)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                return False
            # Or since.
            if error.errno != errno.ENOENT or not temporary.exists():
                raise
        else:
            return True


def _next_version(folder: Path) -> int:
    try:
        taken = [int(path.name) for path in folder.iterdir() if path.name.isascii() and path.name.isdigit()]
    except FileNotFoundError:
        return 1
    return max(taken, default=0) + 1


def _spec(draft: BundleDraft, version: int) -> ModelSpec:
    return ModelSpec(
        name=draft.name,
        version=version,
        task=draft.task,
        input=draft.input,
        outputs=draft.outputs,
        precision=draft.precision,
        runs_on=draft.runs_on,
        licence=draft.licence,
        source=draft.source,
        architecture=draft.architecture,
        parent=draft.lineage.parent,
    )
