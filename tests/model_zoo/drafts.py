"""A small bundle to write: its graph gives the mean of each colour."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from model_zoo.bundle import BundleDraft
from model_zoo.check import make_check, synthetic_pictures
from model_zoo.manifest import Accuracy, Latency, Lineage
from model_zoo.spec import InputSpec, Resize
from model_zoo.store import Store

SIDE = 8
LABELS = ("red", "green", "blue")
INPUT = InputSpec(
    height=SIDE,
    width=SIDE,
    channels=3,
    colour="rgb",
    resize=Resize("shorter_side", 9),
    crop="centre",
    graph_mean=(0.0, 0.0, 0.0),
    graph_std=(1.0, 1.0, 1.0),
)


def colour_means(pictures: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """What the graph computes, by numpy."""
    return [pictures.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)]


def graph(padding: int = 0) -> bytes:
    """The model; ``padding`` bytes more of unused weights."""
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["logits"], axes=[1, 2], keepdims=0),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", SIDE, SIDE, 3])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3])
    unused = [helper.make_tensor("unused", TensorProto.UINT8, [padding], bytes(padding), raw=True)] if padding else []
    made = helper.make_graph(nodes, "means", [images], [logits], unused)
    model: onnx.ModelProto = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def draft(**changes: Any) -> BundleDraft:  # noqa: ANN401 - any field of BundleDraft
    """A draft that can be written; ``changes`` replace fields."""
    fields: dict[str, Any] = {
        "name": "means",
        "input": INPUT,
        "labels": LABELS,
        "model": graph(),
        "check": make_check(synthetic_pictures(SIDE, SIDE, 3), colour_means),
        "card": "# means\n",
        "licence": "Apache-2.0",
        "source": "tests",
    }
    return BundleDraft(**(fields | changes))


def store_of_three(root: Path) -> Store:
    """means/1, an INT8 means/2 with figures, and a broken other/1."""
    store = Store(root)
    store.write(draft())
    store.write(
        draft(
            precision="int8",
            labels=("red", "green", "violet"),
            accuracy=(Accuracy(dataset="d", split="val", n=20, metric="top1", value=0.85, ci95=(0.64, 0.95)),),
            latency=(Latency(device="a cpu", backend="openvino", threads=1, batch=1, p50_ms=6.5, images_per_s=150.0),),
            lineage=Lineage(parent="means/1"),
        )
    )
    (store.write(draft(name="other")).folder / "CARD.md").unlink()
    return store
