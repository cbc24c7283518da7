"""The best classes found on the device are those that ``model_zoo.top_k`` finds."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model_zoo.spec import Activation
from model_zoo.top_k import activate, top_k
from server.backends import Ranked
from server.backends.torch_engine.ranking import rank, unpacked

INF, NAN = float("inf"), float("nan")


def ranked(logits: NDArray[np.float32], activation: Activation, count: int) -> Ranked:
    return unpacked(rank(torch.from_numpy(logits), activation, count))


@pytest.mark.parametrize("count", [1, 3, 7])
@pytest.mark.parametrize(
    "row",
    [
        [3, 1, 4, 1, 5, 9, 2],
        [1, 1, 1, 1, 1, 1, 1],
        [-1, -2, -2, -1, 0, -0.0, 0],
        [-0.0, 0, -0.0, 1e-45, -1e-45, 0, 0],
        [INF, -INF, 3.4e38, -3.4e38, 0, 1, INF],
        [NAN, 2, -NAN, 2, -INF, 1, NAN],
        [NAN] * 7,
    ],
    ids=["ordinary", "equal", "negative", "zeros", "infinite", "some NaN", "all NaN"],
)
def test_numbers_of_all_kinds_come_in_the_same_order(row: list[float], count: int) -> None:
    scores = np.array(row, np.float32)
    indices, values = top_k(scores, count)
    told = ranked(scores[None], "none", count)
    assert told.indices[0].tolist() == indices.tolist()
    np.testing.assert_array_equal(told.scores[0], values)


@pytest.mark.parametrize("activation", ["none", "softmax", "sigmoid"])
def test_scores_are_after_the_activation(activation: Activation) -> None:
    logits = np.random.default_rng(5).normal(0, 4, (9, 1000)).astype(np.float16).astype(np.float32)  # many are equal
    told = ranked(logits, activation, 16)
    assert told.indices.dtype == np.int64 and told.scores.dtype == np.float32
    for row, scores in enumerate(activate(logits, activation)):
        np.testing.assert_allclose(told.scores[row], top_k(scores, 16)[1], rtol=1e-5)
        by_logits = np.argsort(-logits[row], kind="stable")[:16]
        if activation != "sigmoid":  # near 1 different logits become one score
            assert told.indices[row].tolist() == by_logits.tolist()
