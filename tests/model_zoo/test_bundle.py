"""Bundles: whole or nothing, verified, and hostile folders refused."""

import hashlib
import json
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_zoo import bundle as bundle_module
from model_zoo.bundle import Bundle, read_bundle, write_bundle
from model_zoo.check import CheckSet
from model_zoo.errors import BundleError
from model_zoo.manifest import Accuracy, Lineage
from model_zoo.spec import OutputSpec
from tests.model_zoo.drafts import INPUT, LABELS, draft, graph

Damage = Callable[[Path], object]

EXPLAINED = (OutputSpec("logits", "logits", "softmax"), OutputSpec("class_activation", "class_activation", "none"))
FLAT_MAPS = replace(
    draft().check,
    outputs={**draft().check.outputs, "class_activation": np.zeros((4, 9), np.float32)},
    atol={**draft().check.atol, "class_activation": 1.0},
)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A bundle in a fresh store."""
    return write_bundle(tmp_path / "store", draft())


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest as JSON."""
    path = folder / "manifest.json"
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content))


def list_again(folder: Path, name: str) -> None:
    """Make the manifest agree with a changed file, as an attacker would."""
    data = (folder / name).read_bytes()
    entry = {"path": name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    rewrite(folder, lambda content: content.update(files=[f for f in content["files"] if f["path"] != name] + [entry]))


def test_written_and_read(tmp_path: Path) -> None:
    """What was drafted comes back, with the files of the contract."""
    made = draft(
        weights=b"weights",
        accuracy=(Accuracy(dataset="d", split="val", n=20, metric="top1", value=0.9),),
        lineage=Lineage(parent="means/1", seed=3),
    )
    written = write_bundle(tmp_path, made)
    read = read_bundle(tmp_path / "means" / "1")
    assert read == written
    assert read.spec.input == INPUT
    assert (read.spec.name, read.spec.version, read.spec.parent) == ("means", 1, "means/1")
    assert read.labels == LABELS
    assert read.manifest.accuracy == made.accuracy
    names = {"model.onnx", "check.npz", "labels.txt", "CARD.md", "weights.safetensors", "manifest.json"}
    assert {path.name for path in read.folder.iterdir()} == names
    assert read.read_model() == made.model == read.model_path.read_bytes()
    assert read.weights_path == read.folder / "weights.safetensors"
    np.testing.assert_array_equal(read.check().outputs["logits"], made.check.outputs["logits"])
    assert read.fingerprint == hashlib.sha256((read.folder / "manifest.json").read_bytes()).hexdigest()
    assert (read.folder / "labels.txt").read_text() == "red\ngreen\nblue\n"


def test_versions_count_up(tmp_path: Path) -> None:
    """The next integer, unless one is asked for; an existing one is never replaced."""
    assert [write_bundle(tmp_path, draft()).spec.version for _ in range(3)] == [1, 2, 3]
    assert write_bundle(tmp_path, draft(version=10)).spec.version == 10
    assert write_bundle(tmp_path, draft()).spec.version == 11
    before = (tmp_path / "means" / "2" / "manifest.json").read_bytes()
    with pytest.raises(BundleError, match="exists already"):
        write_bundle(tmp_path, draft(version=2, card="other"))
    assert (tmp_path / "means" / "2" / "manifest.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["means"]


def test_a_file_in_the_place_of_a_version_is_stepped_over(tmp_path: Path) -> None:
    """It is not ours to delete."""
    write_bundle(tmp_path, draft())
    (tmp_path / "means" / "2").write_text("a file")
    assert write_bundle(tmp_path, draft()).spec.version == 3


def test_writers_at_once_get_different_versions(tmp_path: Path) -> None:
    """Eight writers, eight bundles, each whole; nothing is left over."""
    done: list[int] = []
    barrier = threading.Barrier(8)

    def write() -> None:
        barrier.wait()
        done.append(write_bundle(tmp_path, draft()).spec.version)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == list(range(1, 9))
    assert [read_bundle(tmp_path / "means" / str(version)).spec.version for version in done] == done
    assert [path.name for path in tmp_path.iterdir()] == ["means"]


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No half bundle, no temporary folder."""

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, f"No space left on device: {path.name} {len(data)}")

    monkeypatch.setattr(bundle_module, "write_synced", full)
    with pytest.raises(BundleError, match="No space left"):
        write_bundle(tmp_path, draft())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "../up"}, r"'\.\./up' can't be a model's name: a name is 1 to 64 of"),
        ({"name": "a" * 300}, "a{40}…' can't be a model's name"),
        ({"labels": ("red", "green")}, "2 names, the model 3"),
        ({"labels": ("red", "green", "bl\nue")}, "control character"),
        ({"labels": ("red", "green", "\u202eeulb")}, "control character"),
        ({"labels": ("red", "green", "")}, "empty"),
        ({"labels": ("red", "green", "b" * 201)}, "longer"),
        ({"outputs": EXPLAINED}, r"check.npz has the outputs \['logits'\], the manifest"),
        ({"outputs": EXPLAINED, "check": FLAT_MAPS}, r"must have maps \(pictures, height, width\)"),
        ({"input": replace(INPUT, height=9, resize=INPUT.resize)}, "check.npz has pictures of"),
        ({"input": replace(INPUT, graph_mean=(float("nan"),) * 3)}, "graph_mean"),
        ({"model": b"not a protobuf \xff"}, "not an ONNX model"),
        ({"model": b""}, "not an ONNX model"),
    ],
)
def test_a_bundle_that_no_reader_takes_is_not_written(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    """The writer reads its own work before it publishes it."""
    with pytest.raises(BundleError, match=reason):
        write_bundle(tmp_path, draft(**changes))
    assert list(tmp_path.glob("*/*")) == []


def test_a_graph_with_external_data_is_not_written(tmp_path: Path) -> None:
    """At any depth: initialisers, and constants inside a branch."""
    made = onnx.ModelProto.FromString(graph(padding=16))
    made.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    made.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")
    with pytest.raises(BundleError, match="external data"):
        write_bundle(tmp_path, draft(model=made.SerializeToString()))
    branch = onnx.GraphProto(name="branch", initializer=list(made.graph.initializer))
    nested = onnx.ModelProto.FromString(graph())
    nested.graph.node.append(onnx.helper.make_node("If", ["c"], ["o"], then_branch=branch, else_branch=branch))
    with pytest.raises(BundleError, match="external data"):
        write_bundle(tmp_path, draft(model=nested.SerializeToString()))


def test_an_operator_that_runs_another_program_is_not_written(tmp_path: Path) -> None:
    """A compiled context names a file."""
    made = onnx.ModelProto.FromString(graph())
    made.graph.node.append(onnx.helper.make_node("EPContext", [], ["o"], domain="com.microsoft"))
    with pytest.raises(BundleError, match="EPContext"):
        write_bundle(tmp_path, draft(model=made.SerializeToString()))


def flip(folder: Path, name: str) -> None:
    """Change one byte in the middle."""
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)


def swap_for_symlink(folder: Path, name: str) -> None:
    """The right bytes, behind a symlink."""
    target = folder.parent / "elsewhere"
    (folder / name).rename(target)
    (folder / name).symlink_to(target)


DAMAGES: dict[str, tuple[Damage, str]] = {
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "manifest.json: no such file"),
    "no model": (lambda f: (f / "model.onnx").unlink(), "missing"),
    "model altered": (lambda f: flip(f, "model.onnx"), "sha256"),
    "labels altered": (lambda f: flip(f, "labels.txt"), "sha256"),
    "check altered": (lambda f: flip(f, "check.npz"), "sha256"),
    "card altered": (lambda f: flip(f, "CARD.md"), "sha256"),
    "model cut short": (lambda f: os.truncate(f / "model.onnx", 10), "10 bytes, the manifest lists"),
    "an extra file": (lambda f: (f / "setup.py").write_text("x"), "setup.py: not listed"),
    "an extra hidden file": (lambda f: (f / ".x").write_text("x"), "not listed"),
    "an extra folder": (lambda f: (f / "more").mkdir(), "not a regular file"),
    "a pipe": (lambda f: os.mkfifo(f / "pipe"), "not a regular file"),
    "a dangling symlink": (lambda f: (f / "x").symlink_to("/nowhere"), "not a regular file"),
    "model a symlink": (lambda f: swap_for_symlink(f, "model.onnx"), "not a regular file"),
    "manifest a symlink": (lambda f: swap_for_symlink(f, "manifest.json"), "is a symlink"),
    "manifest a folder": (lambda f: ((f / "manifest.json").unlink(), (f / "manifest.json").mkdir()), "regular file"),
    "manifest a pipe": (lambda f: ((f / "manifest.json").unlink(), os.mkfifo(f / "manifest.json")), "regular file"),
    "manifest too large": (lambda f: (f / "manifest.json").write_bytes(b" " * (2**20 + 1)), "more than"),
    "manifest not JSON": (lambda f: (f / "manifest.json").write_bytes(b"{"), "JSON"),
    "a required file unlisted": (
        lambda f: rewrite(f, lambda c: c.update(files=[e for e in c["files"] if e["path"] != "CARD.md"])),
        "does not list CARD.md",
    ),
    "a path out of the folder": (
        lambda f: rewrite(f, lambda c: c["files"].append({"path": "../x", "sha256": "0" * 64, "bytes": 0})),
        "files.4.path",
    ),
    "larger than allowed": (
        lambda f: rewrite(f, lambda c: [entry.update(bytes=2**30) for entry in c["files"]]),
        "larger than",
    ),
    "another name": (lambda f: rewrite(f, lambda c: c.update(name="other")), "the manifest is of other/1"),
    "another version": (lambda f: rewrite(f, lambda c: c.update(version=2)), "the manifest is of means/2"),
    "another input size": (lambda f: rewrite(f, lambda c: c["input"].update(height=7)), "check.npz has pictures"),
    "other outputs": (
        lambda f: rewrite(f, lambda c: c["outputs"].append({"name": "b", "kind": "boxes", "activation": "none"})),
        "the manifest",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_hostile_folder_is_refused(bundle: Bundle, damage: str) -> None:
    """Each with a reason that names the file."""
    harm, reason = DAMAGES[damage]
    harm(bundle.folder)
    with pytest.raises(BundleError, match=reason) as caught:
        read_bundle(bundle.folder)
    assert str(bundle.folder) in str(caught.value)


def test_content_that_the_attacker_listed_is_refused_for_what_it_says(bundle: Bundle) -> None:
    """Right hashes do not help labels or checks that are wrong."""
    (bundle.folder / "labels.txt").write_bytes(b"red\ngre\x1b[2Jen\nblue\n")
    list_again(bundle.folder, "labels.txt")
    with pytest.raises(BundleError, match="control character"):
        read_bundle(bundle.folder)
    (bundle.folder / "labels.txt").write_bytes(b"red\xff\n")
    list_again(bundle.folder, "labels.txt")
    with pytest.raises(BundleError, match="UTF-8"):
        read_bundle(bundle.folder)
    (bundle.folder / "labels.txt").write_bytes(b"one\ntwo\n")
    list_again(bundle.folder, "labels.txt")
    with pytest.raises(BundleError, match="2 names, the model 3"):
        read_bundle(bundle.folder)
    (bundle.folder / "check.npz").write_bytes(b"PK")
    list_again(bundle.folder, "check.npz")
    with pytest.raises(BundleError, match=r"check\.npz can't be read"):
        read_bundle(bundle.folder)


def test_a_folder_that_is_a_symlink_a_file_or_nothing_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    """The version's folder itself."""
    link = tmp_path / "means" / "1"
    link.parent.mkdir()
    link.symlink_to(bundle.folder)
    for folder, reason in ((link, "symlink"), (bundle.model_path, "symlink"), (tmp_path / "no", "no bundle here")):
        with pytest.raises(BundleError, match=reason):
            read_bundle(folder)


def test_what_runs_is_what_was_verified(bundle: Bundle) -> None:
    """A file changed after the bundle was read is noticed when it is used."""
    flip(bundle.folder, "model.onnx")
    with pytest.raises(BundleError, match="sha256"):
        bundle.read_model()
    (bundle.folder / "check.npz").write_bytes(b"")
    with pytest.raises(BundleError, match="0 bytes"):
        bundle.check()
    swap_for_symlink(bundle.folder, "CARD.md")
    with pytest.raises(BundleError, match="symlink"):
        bundle.read("CARD.md")
    with pytest.raises(BundleError, match="has no weights"):
        bundle.read("weights.safetensors")


def test_without_verify_the_model_is_not_hashed(bundle: Bundle) -> None:
    """A quick look: sizes, labels and check; the model's bytes are verified when they are read."""
    flip(bundle.folder, "model.onnx")
    looked = read_bundle(bundle.folder, verify=False)
    assert looked == bundle
    with pytest.raises(BundleError, match="sha256"):
        looked.read_model()


def test_a_task_without_classes_needs_no_labels(tmp_path: Path) -> None:
    """An embedding has a length, not names."""
    written = write_bundle(tmp_path, draft(task="embedding", labels=()))
    assert read_bundle(written.folder).labels == ()


def test_reading_imports_no_onnx(bundle: Bundle) -> None:
    """Serving reads bundles; it should not pay for the ONNX library."""
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from model_zoo.bundle import read_bundle;"
        "heavy = ('onnx', 'torch', 'fastapi');"
        f"read_bundle(Path({str(bundle.folder)!r})); print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def module_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """One that the property below puts back after each try."""
    return write_bundle(tmp_path_factory.mktemp("store"), draft())


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_any_damage_is_refused(module_bundle: Bundle, data: st.DataObject) -> None:
    """One byte anywhere in any file: the bundle as it was, or BundleError."""
    name = data.draw(st.sampled_from(sorted(path.name for path in module_bundle.folder.iterdir())))
    path = module_bundle.folder / name
    whole = path.read_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    value = data.draw(st.integers(0, 255))
    path.write_bytes(whole[:position] + bytes([value]) + whole[position + 1 :])
    try:
        read = read_bundle(module_bundle.folder)
    except BundleError:
        return
    finally:
        path.write_bytes(whole)
    # A changed manifest may still be a good one (another seed, another name for the licence): the files are not.
    assert name == "manifest.json" or value == whole[position]
    assert read.manifest.files == module_bundle.manifest.files


labels = st.lists(
    st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20),
    min_size=3,
    max_size=3,
)


@settings(deadline=None, max_examples=20)
@given(labels=labels, seed=st.none() | st.integers(-(2**63), 2**63))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, labels: list[str], seed: int | None) -> None:
    """Round trip, through a reader that was not told."""
    logits = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    check = CheckSet(draft().check.pictures, {"logits": logits}, {"logits": 0.5})
    made = draft(labels=tuple(labels), lineage=Lineage(seed=seed), check=check)
    read = read_bundle(write_bundle(tmp_path_factory.mktemp("store"), made).folder)
    assert read.labels == made.labels
    assert read.manifest.lineage.seed == seed
    np.testing.assert_array_equal(read.check().outputs["logits"], logits)
