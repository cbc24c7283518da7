import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.percentiles import REPORTED, nearest_rank, percentiles

SAMPLES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=3000)


@given(SAMPLES, st.integers(1, 1000))
def test_nearest_rank_is_numpys_inverted_cdf(samples: list[float], per_mille: int) -> None:
    # numpy's own rounding of q moves by a rank when q·n is whole: ask just below, where both definitions agree
    q = (per_mille - 1e-6) / 1000
    expected = np.quantile(samples, q, method="inverted_cdf")
    assert nearest_rank(sorted(samples), per_mille) == expected


@given(SAMPLES, st.integers(1, 1000))
def test_nearest_rank_keeps_its_definition(samples: list[float], per_mille: int) -> None:
    value = nearest_rank(sorted(samples), per_mille)
    assert value in samples
    assert sum(sample <= value for sample in samples) * 1000 >= len(samples) * per_mille
    assert sum(sample < value for sample in samples) * 1000 < len(samples) * per_mille


def test_known_values_of_one_to_a_thousand() -> None:
    summary = percentiles(range(1, 1001))
    assert summary is not None
    assert summary.values == {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "p99.9": 999}
    assert (summary.n, summary.mean, summary.maximum) == (1000, 500.5, 1000)


@pytest.mark.parametrize(
    ("n", "names"),
    [
        (1, ["p50"]),
        (9, ["p50"]),
        (10, ["p50", "p90"]),
        (19, ["p50", "p90"]),
        (20, ["p50", "p90", "p95"]),
        (99, ["p50", "p90", "p95"]),
        (100, ["p50", "p90", "p95", "p99"]),
        (999, ["p50", "p90", "p95", "p99"]),
        (1000, list(REPORTED)),
    ],
)
def test_a_percentile_with_no_sample_beyond_it_is_left_out(n: int, names: list[str]) -> None:
    summary = percentiles(range(n))
    assert summary is not None
    assert list(summary.values) == names
    assert all(summary.values[name] < summary.maximum for name in names if n > 1)


def test_json_is_scaled_and_says_null_for_what_is_left_out() -> None:
    summary = percentiles([0.001, 0.0025])
    assert summary is not None
    assert summary.as_json(scale=1000.0) == {
        "n": 2,
        "mean": 1.75,
        "p50": 1.0,
        "p90": None,
        "p95": None,
        "p99": None,
        "p99.9": None,
        "max": 2.5,
    }


def test_nothing_has_no_percentiles() -> None:
    assert percentiles([]) is None


@pytest.mark.parametrize(("samples", "per_mille"), [([], 500), ([1.0], 0), ([1.0], 1001)])
def test_nearest_rank_refuses_nonsense(samples: list[float], per_mille: int) -> None:
    with pytest.raises(ValueError, match="a percentile needs"):
        nearest_rank(samples, per_mille)
