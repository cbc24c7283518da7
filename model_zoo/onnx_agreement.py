"""Wrap a graph and measure whether it still says the same; where not, try a plainer form."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import onnx

from model_zoo.check import TOLERANCE
from model_zoo.errors import ImportRefusedError
from model_zoo.graph_class_activation import add_class_activation, map_error
from model_zoo.graph_wrap import INPUT_NAME, cut_to, open_batch, strip_last_step, wrap
from model_zoo.onnx_original import Original, Pictures, Rows
from model_zoo.onnx_run import RunOnce, open_graph
from model_zoo.onnx_safety import parse_model


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A graph that agrees with the original; ``taken_off`` is the last step that it does without."""

    data: bytes
    run: RunOnce
    batch: int | None
    taken_off: str | None


def first_that_agrees(original: Original) -> Wrapped:
    """The best form of the graph that says what the original says.

    Raises:
        ImportRefusedError: no form does.
    """
    reasons = []
    for strip, batch, rewrite in _forms(original.input.batch):
        try:
            wrapped = _build(original, strip=strip, batch=batch, rewrite=rewrite)
            difference = _difference(original, wrapped)
        except ImportRefusedError as error:
            reasons.append(str(error))
            continue
        if difference <= _allowed(original):
            return wrapped
        reasons.append(f"the wrapped graph differs from the original by {difference:.3g}")
    fixed = original.input.batch or 1
    hint = f"; it is made for batches of exactly {fixed}: export it with a dynamic batch" if fixed > 1 else ""
    raise ImportRefusedError(f"no form of the graph works: {reasons[0]}{hint}")


def _forms(fixed: int | None) -> Iterator[tuple[bool, int | None, bool]]:
    """What to try, best first: (softmax taken off, batch, constant shapes opened)."""
    for strip in (True, False):
        yield strip, None, False
        yield strip, None, True
        if fixed in (None, 1):
            yield strip, 1, False


def _build(original: Original, *, strip: bool, batch: int | None, rewrite: bool) -> Wrapped:
    model = onnx.ModelProto()
    model.CopyFrom(original.model)
    output, taken_off = strip_last_step(model, original.output) if strip else (original.output, None)
    cut_to(model, output)
    if rewrite:
        open_batch(model, original.input.batch or 1)
    model = wrap(model, original.input, original.size, original.normalisation, batch)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ImportRefusedError(f"the wrapped graph is not valid ONNX: {str(error)[:300]}") from error
    data = model.SerializeToString(deterministic=True)
    return Wrapped(data, open_graph(data, INPUT_NAME), batch, taken_off)


def with_class_activation(wrapped: Wrapped, original: Original) -> Wrapped:
    """The graph with class-activation maps as a second output; as it is where it can't have them.

    What was added is measured too: the logits must stay, and the maps must explain them.
    """
    model = parse_model(wrapped.data)
    if not add_class_activation(model):
        return wrapped
    data = model.SerializeToString(deterministic=True)
    try:
        explained = replace(wrapped, data=data, run=open_graph(data, INPUT_NAME))
        logits, maps = run_wrapped(explained, original.pictures)
    except ImportRefusedError:
        return wrapped
    moved = float(np.abs(logits - run_wrapped(wrapped, original.pictures)[0]).max())
    agrees = moved <= _allowed(original) and map_error(model, logits, maps) <= _rounding(original)
    return explained if agrees else wrapped


def run_wrapped(wrapped: Wrapped, pictures: Pictures, at_once: int | None = None) -> list[Rows]:
    """All outputs, each (4, …), ``at_once`` pictures per run; None: as many as the graph takes."""
    at_once = at_once or wrapped.batch or len(pictures)
    parts = [wrapped.run(pictures[start : start + at_once]) for start in range(0, len(pictures), at_once)]
    return [np.concatenate([np.asarray(part[name], np.float32) for part in parts]) for name in parts[0]]


def _difference(original: Original, wrapped: Wrapped) -> float:
    worst = 0.0
    for at_once in (1, 3, len(original.pictures)) if wrapped.batch is None else (wrapped.batch,):
        got = _last_step(wrapped.taken_off, run_wrapped(wrapped, original.pictures, at_once)[0])
        if got.shape != original.expected.shape:
            raise ImportRefusedError(f"{at_once} pictures at once give the shape {got.shape}")
        worst = max(worst, float(np.abs(got - original.expected).max()))
    return worst


def _last_step(name: str | None, logits: Rows) -> Rows:
    """What the operator that was taken off would have made of these."""
    if name is None:
        return logits
    if name == "Sigmoid":
        return (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    result: Rows = np.exp(log_softmax) if name == "Softmax" else log_softmax
    return result


def _allowed(original: Original) -> float:
    return _rounding(original) * max(float(np.abs(original.expected).max()), 1e-3)


def _rounding(original: Original) -> float:
    """Float graphs agree closely; in INT8 ones a pixel's last bit may move a step of the quantiser."""
    return {"fp32": 1e-3, "fp16": 1e-2, "int8": TOLERANCE["int8"]}[original.precision]
