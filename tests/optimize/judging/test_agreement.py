"""Agreement and its interval, against published figures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimize.judging.agreement import agreement, top_k_hits, wilson


def test_wilson_is_the_published_one() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29
    for hits, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert wilson(hits, n) == pytest.approx((low, high), abs=5e-5)


@given(n=st.integers(1, 500), data=st.data())
def test_wilson_holds_the_share_and_stays_a_share(n: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, n))
    low, high = wilson(hits, n)
    assert 0 <= low <= hits / n + 1e-12
    assert hits / n - 1e-12 <= high <= 1


def test_wilson_refuses_what_is_no_proportion() -> None:
    with pytest.raises(ValueError, match="3 hits of 2"):
        wilson(3, 2)


def test_agreement_counts_all_and_the_sure() -> None:
    reference = np.array([[9.0, 0, 0], [0.1, 0, 0], [0, 9.0, 0], [0, 0, 0.1]])
    logits = np.array([[5.0, 0, 0], [0, 1.0, 0], [9.0, 0, 0], [0, 0, 3.0]])
    result = agreement(logits, reference)
    assert (result.every.hits, result.every.n) == (2, 4)
    assert (result.sure.hits, result.sure.n) == (1, 2)
    assert "50.0 % (2 of 4" in str(result.every)


def test_agreement_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match="alike"):
        agreement(np.zeros((2, 3)), np.zeros((2, 4)))


def test_top_k_gives_ties_to_the_lower_index() -> None:
    logits = np.array([[1.0, 1.0, 0.0]])
    assert top_k_hits(logits, np.array([0])).hits == 1
    assert top_k_hits(logits, np.array([1])).hits == 0
    assert top_k_hits(logits, np.array([1]), k=2).hits == 1
