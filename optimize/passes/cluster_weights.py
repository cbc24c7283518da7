"""Weights from a short list: a codebook for each layer, and a byte or half a byte per weight that says which entry.

Deep compression's second step (Han et al., 2016, arXiv:1510.00149), without its retraining. The
entries are the k-means of the layer's weights: those with the least squared error, every
weight counting alike (not by how much the outputs depend on it). In one dimension Lloyd's
steps need no look at the weights: in sorted order each entry owns one stretch, and
sums over stretches are differences of running sums. They start from entries spread as
densely as the cube root of the weights' density, which is best for many entries
(Panter & Dite, 1951), so nothing is drawn and the same weights give the same file.

In the graph a Gather looks the entries up. It depends on constants alone, so engines do it
once, when they load, and then run the float graph at its speed and with its memory. The
gain is the file: a quarter of the bytes; an eighth with at most 16 entries, where one byte
names two weights in a table of all 256 pairs.
"""

from typing import Annotated

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from pydantic import Field

from optimize.errors import PassError
from optimize.passes import Pass, PassConfig
from optimize.passes.layer_weights import (
    StoredForm,
    depthwise_weights,
    layer_weights,
    read_model,
    replace_constants,
    write_model,
)
from optimize.passes.pictures import Pictures

PAIRED = 16
_STEPS = 200
_STRETCHES = 2048

Values = NDArray[np.float64]
Codes = NDArray[np.uint8]


class ClusterWeights(PassConfig):
    """``entries`` in each layer's list; layers of fewer than ``least_weights`` weights stay as they are."""

    entries: Annotated[int, Field(ge=2, le=256)] = 256
    least_weights: Annotated[int, Field(ge=1)] = 8192


def cluster_weights(model: bytes, _: Pictures, config: ClusterWeights) -> bytes:
    """Replace weights by entries of codebooks.

    Args:
        model: ONNX.
        config: see ``ClusterWeights``.
    Raises:
        PassError: weights that are no numbers.
    """
    parent = read_model(model)
    large = layer_weights(parent, max(config.least_weights, 2 * config.entries))
    alone = depthwise_weights(parent)
    replace_constants(parent, {one.name: _clustered(one, config.entries) for one in large if one.name not in alone})
    return write_model(parent)


def codebook(weights: Values, entries: int) -> tuple[Values, Codes]:
    """One-dimensional k-means.

    Args:
        weights: (n,).
        entries: at most 256.
    Returns:
        The entries, ascending, (entries,) or fewer where there are fewer values; and each weight's, (n,).
    """
    values = np.unique(weights)
    if len(values) <= entries:
        return values, np.searchsorted(values, weights).astype(np.uint8)
    if 0 in values:  # weights that are 0 stay so
        centres = np.union1d(codebook(weights[weights != 0], entries - 1)[0], [0.0])
        return centres, _nearest(centres, weights)
    order = np.sort(weights)
    sums, squares = (np.concatenate([[0.0], np.cumsum(each)]) for each in (order, order**2))
    centres = _start(order, entries)
    for _ in range(_STEPS):
        ends = np.searchsorted(order, (centres[1:] + centres[:-1]) / 2, side="right")
        edges = np.unique(np.concatenate([[0], ends, [len(order)]]))
        held = np.diff(edges)
        moved = np.diff(sums[edges]) / held
        errors = np.clip(np.diff(squares[edges]) - held * moved**2, 0, None)
        moved = _split(moved, errors, np.sqrt(errors / held), entries - len(moved))
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres, _nearest(centres, weights)


def _nearest(centres: Values, weights: Values) -> Codes:
    return np.searchsorted((centres[1:] + centres[:-1]) / 2, weights, side="left").astype(np.uint8)


def _start(order: Values, entries: int) -> Values:
    edges = np.unique(order[np.linspace(0, len(order) - 1, _STRETCHES + 1).astype(np.int64)])
    share = np.concatenate([[0.0], np.cumsum(np.diff(edges) ** (2 / 3))])
    return np.unique(np.interp((np.arange(entries) + 0.5) / entries, share / share[-1], edges))


def _split(centres: Values, errors: Values, spreads: Values, missing: int) -> Values:
    """Entries that own nothing are gone; those with the largest errors become two."""
    worst = [place for place in np.argsort(-errors, kind="stable")[:missing] if errors[place] > 0]
    return np.unique(
        np.concatenate([np.delete(centres, worst), (centres - spreads)[worst], (centres + spreads)[worst]])
    )


def _clustered(tensor: onnx.TensorProto, entries: int) -> StoredForm:
    weights = numpy_helper.to_array(tensor)
    if not np.isfinite(weights).all():
        raise PassError(f"the weights '{tensor.name}' hold what is no number (NaN or infinity)")
    centres, codes = codebook(weights.ravel().astype(np.float64), entries)
    table, form, name = centres.astype(np.float32), StoredForm(), tensor.name
    if entries <= PAIRED and codes.size % 2 == 0:
        table = np.concatenate([table, np.zeros(PAIRED - len(table), np.float32)])
        table = np.stack([np.repeat(table, PAIRED), np.tile(table, PAIRED)], axis=1)
        codes = codes[::2] * np.uint8(PAIRED) + codes[1::2]
    else:
        codes = codes.reshape(weights.shape)
    places = form.node("Cast", [form.constant(f"{name}/codes", codes)], f"{name}/places", to=TensorProto.INT32)
    found = [form.constant(f"{name}/entries", table), places]
    if codes.shape == weights.shape:
        form.node("Gather", found, name, axis=0)
    else:
        shape = form.constant(f"{name}/shape", np.array(weights.shape, np.int64))
        form.node("Reshape", [form.node("Gather", found, f"{name}/pairs", axis=0), shape], name)
    return form


PASS: Pass[ClusterWeights] = Pass(ClusterWeights, cluster_weights, needs_pictures=False)
