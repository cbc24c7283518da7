"""A real bundle whose right answers anyone can see: its logits are the mean red, green and blue, over 16."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model_zoo.bundle import Bundle, BundleDraft, write_bundle
from model_zoo.check import CheckSet
from model_zoo.spec import InputSpec, Resize

SIDE = 8
LABELS = ("red", "green", "blue")
INPUT = InputSpec(
    height=SIDE,
    width=SIDE,
    channels=3,
    colour="rgb",
    resize=Resize("shorter_side", SIDE),
    crop="centre",
    graph_mean=(0.0, 0.0, 0.0),
    graph_std=(1.0, 1.0, 1.0),
)


def expected_logits(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the graph computes, by numpy: (N, 3)."""
    return (batch.mean(axis=(1, 2), dtype=np.float64) / 16).astype(np.float32)


def graph() -> bytes:
    """uint8 (N, 8, 8, 3) → float32 (N, 3)."""
    nodes = [
        helper.make_node("Cast", ["input"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Div", ["mean", "sixteen"], ["logits"]),
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "mean_colour",
            [helper.make_tensor_value_info("input", TensorProto.UINT8, ["N", SIDE, SIDE, 3])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3])],
            [numpy_helper.from_array(np.array(16, np.float32), "sixteen")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    serialised: bytes = model.SerializeToString()
    return serialised


def write_mean_colour(store: Path, name: str = "mean_colour") -> Bundle:
    """Write the next version of the bundle."""
    pictures = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3), dtype=np.uint8)
    draft = BundleDraft(
        name=name,
        input=INPUT,
        labels=LABELS,
        model=graph(),
        check=CheckSet(pictures, {"logits": expected_logits(pictures)}, {"logits": 0.01}),
        card="# mean colour\n\nFor tests.\n",
        licence="Apache-2.0",
        source="tests",
    )
    return write_bundle(store, draft)
