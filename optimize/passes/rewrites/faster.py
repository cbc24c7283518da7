"""Keeps of all rewrites those that are measured to be faster here, and says what became of the others.

Each is tried on all layers that it can rewrite, on the half of them that it hopes most of, and on the quarter. The
fastest of the three is kept, if it is clearly faster than the graph without it: one picture at a time by more than 2 %
and more than twice what the rounds of measuring lie apart, and in batches not clearly slower. What
answers otherwise, or has the runtime compute in float what it computed in integers, is not even timed.

Times come from a clock that is handed in. It decides what comes out, so whoever wants the same again keeps its
answers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from optimize.errors import PassError
from optimize.judging.arithmetic import open_model, runtime_faults
from optimize.judging.fused import fused_share, work_of
from optimize.passes.layer_weights import read_model, write_model
from optimize.passes.rewrites import REWRITES, load_rewrite

PARTS = (1, 2, 4)
FASTER = 1.02
# Of float answers, beside the largest.
ROUNDING = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Times the speed of the graph as it was, one picture at a time and in batches, and how far rounds lie apart."""

    faster: float
    spread: float
    throughput: float
    throughput_spread: float

    @property
    def is_clearly_faster(self) -> bool:
        """See the module."""
        gain = self.faster - 1
        return self.faster > FASTER and gain > 2 * self.spread and self.throughput + 2 * self.throughput_spread >= 1


# The rewritten graph beside the one that there is; a PassError says that the engine does not take it.
Clock = Callable[[bytes, bytes], Timed]


def keep_faster(model: bytes, pictures: NDArray[np.uint8], clock: Clock) -> tuple[bytes, tuple[str, ...]]:
    """Try every rewrite.

    Args:
        model: ONNX, uint8 NHWC in.
        pictures: uint8 (N, height, width, channels), some, on which answers are compared.
    Returns:
        The fastest graph, which is ``model`` where nothing is faster, and a sentence on each rewrite.
    Raises:
        PassError: no ONNX model.
    """
    said = []
    for name in REWRITES:
        model, sentence = _tried(name, model, pictures, clock)
        said.append(f"{name}: {sentence}")
    return model, tuple(said)


def _tried(name: str, model: bytes, pictures: NDArray[np.uint8], clock: Clock) -> tuple[bytes, str]:
    layers = load_rewrite(name)(read_model(model))
    if not layers:
        return model, "nothing to rewrite"
    best, outcomes = (1.0, model), []
    for count in sorted({-(-len(layers) // part) for part in PARTS}, reverse=True):
        other = read_model(model)
        load_rewrite(name)(other, layers[:count])
        try:
            changed = write_model(other)
            _require_same(model, changed, pictures)
            timed = clock(changed, model)
        except PassError as error:
            outcomes.append(f"of {count} layers: {error}")
            continue
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            raise PassError(f"the graph that {name} made is not valid ONNX, please report this: {error}") from error
        outcomes.append(f"{timed.faster:.2f}× (± {timed.spread:.2f}) of {count} layers")
        if timed.is_clearly_faster and timed.faster > best[0]:
            best = timed.faster, changed
    return best[1], f"{'kept' if best[1] != model else 'not kept'}; {', '.join(outcomes)}"


def _require_same(model: bytes, changed: bytes, pictures: NDArray[np.uint8]) -> None:
    """See that answers are as they were, and integers too.

    Raises:
        PassError: they are not.
    """
    if work_of(model):
        before, after = fused_share(model).share, fused_share(changed).share
        if after < before:
            raise PassError(f"{after:.0%} would be computed in integers, and {before:.0%} is")
    is_exact = any(node.op_type == "DequantizeLinear" for node in read_model(model).graph.node)
    for output in read_model(model).graph.output:
        try:
            old, new = (open_model(one, "exact", output=output.name)(pictures) for one in (model, changed))
        except runtime_faults() as error:
            raise PassError(f"ONNX Runtime does not take it: {error}") from error
        off = float(np.abs(new - old).max())
        if not off <= (0 if is_exact else ROUNDING * max(1.0, float(np.abs(old).max()))):
            raise PassError(f"{output.name} would differ by {off:.2g}")
