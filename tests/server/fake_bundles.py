"""Small valid bundles, made in milliseconds, whose right answers numpy knows.

``mean_colour``: logits = (mean colour − 127.5) / 64 · W + b, and as further outputs, when asked
for, the brightness of 4 × 4 cells as a map, and the mean colour itself. ``saturating``: one 8-bit
pointwise convolution with weights of 127 on bright pictures, which is wrong by thousands where sums are
cut off at 16 bits.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save

from model_zoo.bundle import Bundle, BundleDraft, write_bundle
from model_zoo.check import CheckSet, synthetic_pictures
from model_zoo.spec import ArchitectureRef, InputSpec, OutputSpec, Precision, Resize

Array = NDArray[np.generic]
LOGITS = OutputSpec("logits", "logits", "softmax")
MEANS = OutputSpec("means", "embedding", "none")
MAPS = OutputSpec("class_activation", "class_activation", "none")
CELLS = (4, 4)


@dataclass(frozen=True, slots=True)
class MeanColour:
    """Which bundle to make: ``rows`` fixes the graph to a batch, ``embedding`` and ``maps`` add an output each.

    ``network`` adds the architecture ``mean_colour`` (``mean_colour_network.py``) and its float weights.
    """

    name: str = "mean_colour"
    classes: int = 10
    height: int = 16
    width: int = 12
    channels: int = 3
    rows: int | None = None
    embedding: bool = False
    maps: bool = False
    network: bool = False
    precision: Precision = "fp32"
    runs_on: tuple[str, ...] = ("onnxruntime", "openvino")

    @property
    def input(self) -> InputSpec:
        """The graph's input."""
        return InputSpec(
            height=self.height,
            width=self.width,
            channels=3 if self.channels == 3 else 1,
            colour="rgb" if self.channels == 3 else "grey",
            resize=Resize("stretch", self.height),
            crop="none",
            graph_mean=(127.5,) * self.channels,
            graph_std=(64.0,) * self.channels,
            max_batch=self.rows,
        )

    def weights(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(channels, classes) and (classes,)."""
        generator = np.random.default_rng(5)
        weights = generator.normal(0, 2, (self.channels, self.classes)).astype(np.float32)
        return weights, generator.normal(0, 1, self.classes).astype(np.float32)

    def expected(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """What the graph gives, by numpy in float64: (N, classes), (N, 4, 4) maps, (N, channels) of embedding."""
        means = batch.mean(axis=(1, 2), dtype=np.float64)
        weights, bias = self.weights()
        logits = ((means - 127.5) / 64 @ weights.astype(np.float64) + bias).astype(np.float32)
        maps = (self._cells(batch),) if self.maps else ()
        return (logits, *maps, *((means.astype(np.float32),) if self.embedding else ()))

    def _cells(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        rows, columns = CELLS
        cells = batch.reshape(len(batch), rows, self.height // rows, columns, self.width // columns, self.channels)
        maps: NDArray[np.float32] = cells.mean(axis=(2, 4, 5), dtype=np.float64).astype(np.float32)
        return maps

    def graph(self) -> bytes:
        """The ONNX file; the second output comes first in it, so that order by position shows."""
        weights, bias = self.weights()
        nodes = [
            helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["pixels"], ["means"], axes=[1, 2], keepdims=0),
            helper.make_node("Sub", ["means", "mean"], ["centred"]),
            helper.make_node("Div", ["centred", "std"], ["normal"]),
            helper.make_node("Gemm", ["normal", "weights", "bias"], ["logits"]),
        ]
        rows: str | int = "N" if self.rows is None else self.rows
        images = helper.make_tensor_value_info(
            "images", TensorProto.UINT8, [rows, self.height, self.width, self.channels]
        )
        outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [rows, self.classes])]
        if self.embedding:
            outputs.insert(0, helper.make_tensor_value_info("means", TensorProto.FLOAT, [rows, self.channels]))
        constants: dict[str, Array] = {
            "mean": np.array(127.5, np.float32),
            "std": np.array(64, np.float32),
            "weights": weights,
            "bias": bias,
        }
        if self.maps:
            sides = [self.height // CELLS[0], self.width // CELLS[1]]
            nodes += [
                helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
                helper.make_node("AveragePool", ["planes"], ["cells"], kernel_shape=sides, strides=sides),
                helper.make_node("ReduceMean", ["cells"], ["class_activation"], axes=[1], keepdims=0),
            ]
            outputs.insert(0, helper.make_tensor_value_info("class_activation", TensorProto.FLOAT, [rows, *CELLS]))
        return _model(nodes, [images], outputs, constants)

    def write(self, store: Path) -> Bundle:
        """Write the next version into a store."""
        return write_bundle(store, self.draft())

    def draft(self) -> BundleDraft:
        """What ``write`` writes."""
        outputs = (LOGITS, *([MAPS] if self.maps else []), *([MEANS] if self.embedding else []))
        pictures = synthetic_pictures(self.height, self.width, self.channels)
        expected = dict(zip((output.name for output in outputs), self.expected(pictures), strict=True))
        return BundleDraft(
            name=self.name,
            input=self.input,
            outputs=outputs,
            labels=tuple(f"class {number}" for number in range(self.classes)),
            model=self.graph(),
            check=CheckSet(pictures, expected, dict.fromkeys(expected, 0.02)),
            card=f"# {self.name}\n\nFor tests.\n",
            licence="Apache-2.0",
            source="tests",
            precision=self.precision,
            runs_on=self.runs_on,
            architecture=ArchitectureRef("mean_colour", {"channels": self.channels}) if self.network else None,
            weights=self._safetensors() if self.network else None,
        )

    def _safetensors(self) -> bytes:
        weights, bias = self.weights()
        return save({"linear.weight": np.ascontiguousarray(weights.T), "linear.bias": bias})


def mean_colour(store: Path, kind: MeanColour = MeanColour()) -> Bundle:
    """Write a mean-colour bundle."""
    return kind.write(store)


def wrong_check(store: Path) -> Bundle:
    """A bundle whose graph does not give the answers that its check expects."""
    draft = MeanColour(name="wrong_check").draft()
    logits = draft.check.outputs["logits"] + np.float32(5)
    return write_bundle(
        store, replace(draft, check=CheckSet(draft.check.pictures, {"logits": logits}, {"logits": 0.1}))
    )


@dataclass(frozen=True, slots=True)
class ByteConvolution:
    """A quantised k × k convolution on the input bytes, then the mean: exact in integers."""

    weights: NDArray[np.int8]
    side: int = 8

    @property
    def channels(self) -> int:
        """Of the input."""
        return int(self.weights.shape[1])

    def sums(self, batch: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The convolution in whole numbers, no padding: (N, outputs, height, width)."""
        size = self.weights.shape[2]
        windows = np.lib.stride_tricks.sliding_window_view(batch.transpose(0, 3, 1, 2), (size, size), axis=(2, 3))
        return np.einsum("nchwij,ocij->nohw", windows.astype(np.int64), self.weights.astype(np.int64))

    def expected(self, batch: NDArray[np.uint8], scale: float) -> NDArray[np.float32]:
        """The graph's logits (N, outputs): sums · scale, rounded to bytes around 128, averaged."""
        codes = np.clip(np.rint(self.sums(batch) * scale) + 128, 0, 255)
        return (codes - 128).mean(axis=(2, 3)).astype(np.float32)

    def scale(self) -> float:
        """Brings the largest possible sum to 120."""
        return 120 / (255 * float(np.abs(self.weights.astype(np.int64)).sum(axis=(1, 2, 3)).max()))

    def graph(self) -> bytes:
        """Transpose → DequantizeLinear → Conv → QuantizeLinear → DequantizeLinear → mean; QDQ, as bundles have it."""
        outputs = self.weights.shape[0]
        zero, middle = np.array(0, np.uint8), np.array(128, np.uint8)
        constants: dict[str, Array] = {
            "one": np.array(1, np.float32),
            "zero": zero,
            "weight_bytes": self.weights,
            "weight_scale": np.full(outputs, self.scale(), np.float32),
            "weight_zero": np.zeros(outputs, np.int8),
            "bias": np.zeros(outputs, np.int32),
            "bias_zero": np.zeros(outputs, np.int32),
            "middle": middle,
        }
        nodes = [
            helper.make_node("Transpose", ["images"], ["planes"], perm=[0, 3, 1, 2]),
            helper.make_node("DequantizeLinear", ["planes", "one", "zero"], ["x"]),
            helper.make_node("DequantizeLinear", ["weight_bytes", "weight_scale", "weight_zero"], ["w"], axis=0),
            helper.make_node("DequantizeLinear", ["bias", "weight_scale", "bias_zero"], ["b"], axis=0),
            helper.make_node("Conv", ["x", "w", "b"], ["y"]),
            helper.make_node("QuantizeLinear", ["y", "one", "middle"], ["codes"]),
            helper.make_node("DequantizeLinear", ["codes", "one", "middle"], ["z"]),
            helper.make_node("ReduceMean", ["z"], ["logits"], axes=[2, 3], keepdims=0),
        ]
        images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", self.side, self.side, self.channels])
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", outputs])
        return _model(nodes, [images], [logits], constants)

    def write(self, store: Path, name: str = "byte_convolution") -> Bundle:
        """Write it as an INT8 bundle whose check is exact to a step of the output's bytes."""
        pictures = synthetic_pictures(self.side, self.side, self.channels)
        pictures[0] = 255
        draft = MeanColour(name=name, classes=len(self.weights), height=self.side, width=self.side)
        return write_bundle(
            store,
            replace(
                draft.draft(),
                input=replace(draft.input, graph_mean=(0.0,) * 3, graph_std=(1.0,) * 3),
                model=self.graph(),
                precision="int8",
                check=CheckSet(pictures, {"logits": self.expected(pictures, self.scale())}, {"logits": 1.0}),
            ),
        )


def saturating(store: Path) -> Bundle:
    """An INT8 bundle that is wrong wherever pair sums are cut off at 16 bits."""
    weights = np.full((4, 3, 1, 1), 127, np.int8)
    weights[1::2] = -127
    return ByteConvolution(weights).write(store, "saturating")


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: dict[str, Array],
) -> bytes:
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data
