"""Scores against torch in float64, ranks against a full sort."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model_zoo.spec import Activation
from model_zoo.top_k import activate, top_k

REFERENCE = {"softmax": lambda x: torch.softmax(x, dim=1), "sigmoid": torch.sigmoid, "none": lambda x: x}


@pytest.mark.parametrize("activation", REFERENCE)
@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4, 1e30])
def test_activations_as_torch_in_float64(activation: Activation, scale: float) -> None:
    logits = (np.random.default_rng(0).standard_normal((5, 1000)) * scale).astype(np.float32)
    expected = REFERENCE[activation](torch.from_numpy(logits).double()).numpy()
    scores = activate(logits, activation)
    assert scores.dtype == np.float32
    assert scores.shape == logits.shape
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-7)


def test_softmax_rows_sum_to_one() -> None:
    logits = np.array([[1e4, -1e4, 0], [0, 0, 0]], np.float32)
    np.testing.assert_allclose(activate(logits, "softmax").sum(axis=1), 1, rtol=1e-6)


@given(
    st.lists(st.one_of(st.floats(-1e6, 1e6, width=32), st.sampled_from([0.0, 1.0, float("inf")])), min_size=1),
    st.integers(0, 60),
)
def test_ranks_as_a_full_sort_with_ties_to_the_lower_index(values: list[float], k: int) -> None:
    scores = np.array(values, np.float32)
    expected = sorted(range(len(values)), key=lambda i: (-float(scores[i]), i))[:k]
    indices, best = top_k(scores, k)
    assert indices.tolist() == expected
    assert indices.dtype == np.int64
    assert best.dtype == np.float32
    assert np.array_equal(best, scores[expected])


def test_many_equal_scores_keep_their_order() -> None:
    indices, _ = top_k(np.zeros(1000, np.float32), 5)
    assert indices.tolist() == [0, 1, 2, 3, 4]


def test_nan_ranks_last() -> None:
    scores = np.array([np.nan, 0.2, -np.inf, 0.7], np.float32)
    indices, _ = top_k(scores, 2)
    assert indices.tolist() == [3, 1]


def test_more_than_there_are_means_all() -> None:
    indices, best = top_k(np.array([0.1, 0.9], np.float32), 10**9)
    assert indices.tolist() == [1, 0]
    assert best.shape == (2,)


def test_fewer_than_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        top_k(np.zeros(3, np.float32), -1)
