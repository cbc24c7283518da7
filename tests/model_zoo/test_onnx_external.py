"""Strangers' ONNX files that keep their weights beside them: read, or refused before anything foreign is opened."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from model_zoo.errors import ImportRefusedError
from model_zoo.onnx_external import with_weights
from model_zoo.onnx_import import import_onnx
from model_zoo.onnx_original import ImportOptions
from model_zoo.onnx_run import open_graph
from tests.model_zoo.onnx_graphs import SIDE, body, model

OPTIONS = ImportOptions(mean=(127.5,) * 3, std=(127.5,) * 3)
MOST = 10**6


def saved_apart(folder: Path) -> Path:
    """As torch's exporter writes it: the graph, and all weights in one file beside it."""
    folder.mkdir()
    path = folder / "model.onnx"
    onnx.save(
        model(body()), path, save_as_external_data=True, location="model.onnx.data", size_threshold=0,
        convert_attribute=True,
    )  # fmt: skip
    return path


def told(path: Path, key: str, value: str) -> Path:
    """The same file, which says something else of its first weight."""
    made = onnx.load(path, load_external_data=False)
    outside = made.graph.initializer[0].external_data
    kept = [(one.key, one.value) for one in outside if one.key != key]
    del outside[:]
    for name, text in [*kept, (key, value)]:
        outside.add(key=name, value=text)
    path.write_bytes(made.SerializeToString())
    return path


def test_the_model_is_the_one_in_one_file(tmp_path: Path) -> None:
    path = saved_apart(tmp_path / "apart")
    whole = import_onnx(model(body()).SerializeToString(), name="whole", store=tmp_path / "store", options=OPTIONS)
    apart = import_onnx(path, name="apart", store=tmp_path / "store", options=OPTIONS)
    batch = np.random.default_rng(3).integers(0, 256, (4, SIDE, SIDE, 3), dtype=np.uint8)
    logits = [open_graph(one.read_model(), "images")(batch)["logits"] for one in (whole, apart)]
    np.testing.assert_array_equal(*logits)
    assert not list(apart.folder.glob("*.data"))


def test_a_file_in_one_piece_stays_as_it_is(tmp_path: Path) -> None:
    data = model(body()).SerializeToString()
    assert with_weights(data, tmp_path, MOST) is data
    assert with_weights(b"no model", tmp_path, MOST) == b"no model"


def linked(path: Path) -> None:
    """The weights are a link to elsewhere."""
    weights = path.with_name("model.onnx.data")
    weights.rename(path.parents[1] / "elsewhere")
    weights.symlink_to(path.parents[1] / "elsewhere")


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "no such file": (lambda path: path.with_name("model.onnx.data").unlink(), "not beside it: keep the two in one"),
    "cut short": (lambda path: path.with_name("model.onnx.data").write_bytes(b"1"), "can't be read from model.onnx.da"),
    "a link": (linked, "symbolic link"),
    "outside": (lambda path: told(path, "location", "../store.data"), "is in another file, '../store.data'"),
    "from the root": (lambda path: told(path, "location", "/etc/passwd"), "absolute path"),
    "nowhere": (lambda path: told(path, "location", ""), "can't be read"),
    "zero in a name": (lambda path: told(path, "location", "a\0b"), "not beside it"),
    "a folder": (lambda path: told(path, "location", "."), "can't be read"),
    "before its begin": (lambda path: told(path, "offset", "-4"), "non-negative"),
    "no number": (lambda path: told(path, "length", "many"), "many"),
    "a petabyte": (lambda path: told(path, "length", str(10**15)), "too large"),
    "negative": (lambda path: told(path, "length", "-5"), "can't be read"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_refused_with_the_reason(tmp_path: Path, case: str) -> None:
    spoil, reason = SPOILT[case]
    path = saved_apart(tmp_path / "apart")
    spoil(path)
    with pytest.raises(ImportRefusedError, match=reason):
        import_onnx(path, name="stranger", store=tmp_path / "store", options=OPTIONS)
    assert not (tmp_path / "store").exists()


def test_a_file_outside_is_not_read_though_it_is_there(tmp_path: Path) -> None:
    path = told(saved_apart(tmp_path / "apart"), "location", "../secret")
    (tmp_path / "secret").write_bytes(bytes(10_000))
    with pytest.raises(ImportRefusedError, match="points outside"):
        import_onnx(path, name="stranger", store=tmp_path / "store", options=OPTIONS)


def test_weights_that_are_too_large_together_are_not_read(tmp_path: Path) -> None:
    path = saved_apart(tmp_path / "apart")
    size = path.with_name("model.onnx.data").stat().st_size
    with pytest.raises(ImportRefusedError, match="too large"):
        with_weights(path.read_bytes(), path.parent, 8)
    whole = with_weights(path.read_bytes(), path.parent, size)
    assert onnx.load_from_string(whole).graph.initializer[0].raw_data
