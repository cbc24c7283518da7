"""Learned t(n)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.latency_model import OLD_BATCHES, LatencyModel


def test_nothing_learned_predicts_nothing() -> None:
    assert LatencyModel().predict(4) == 0.0


def test_the_first_observation_is_taken_whole_and_later_ones_are_smoothed() -> None:
    model = LatencyModel(smoothing=0.1)
    model.observe(1, 0.010)
    assert model.predict(1) == 0.010
    model.observe(1, 0.020)
    assert model.predict(1) == pytest.approx(0.011)


def test_sizes_between_two_known_ones_lie_on_their_line() -> None:
    model = LatencyModel()
    model.observe(2, 0.010)
    model.observe(6, 0.030)
    assert model.predict(4) == pytest.approx(0.020)
    assert model.predict(12) == pytest.approx(0.060), "beyond the largest, its time per picture goes on"
    assert model.predict(1) == pytest.approx(0.010), "below the smallest, its time"


def test_a_constant_is_learned() -> None:
    model = LatencyModel()
    model.observe(3, 1.0)
    for _ in range(200):
        model.observe(3, 0.005)
    assert model.predict(3) == pytest.approx(0.005, rel=1e-3)
    assert model.known().keys() == {3}


@given(st.lists(st.tuples(st.integers(1, 32), st.floats(1e-4, 1.0)), min_size=1, max_size=40), st.integers(1, 64))
def test_a_prediction_stays_within_what_was_seen_or_its_extension(seen: list[tuple[int, float]], images: int) -> None:
    model = LatencyModel()
    for size, seconds in seen:
        model.observe(size, seconds)
    largest = max(model.known())
    ceiling = max(model.known().values()) * max(1.0, images / largest)
    assert min(model.known().values()) <= model.predict(images) <= ceiling * (1 + 1e-9)


@pytest.mark.parametrize(
    ("one_s", "eight_s", "expected"),
    [
        (0.010, 0.080, 1),
        (0.0101, 0.080, 1),
        (0.010, 0.010, 8),
        (0.020, 0.088, 8),
        (0.012, 0.082, 4),
        (0.0002, 0.0016, 8),
        (0.0177, 0.1345, 1),
    ],
)
def test_the_efficient_size_is_the_smallest_that_costs_each_picture_least(
    one_s: float, eight_s: float, expected: int
) -> None:
    model = LatencyModel()
    model.observe(1, one_s)
    model.observe(8, eight_s)
    assert model.efficient_size(8) == expected


def test_kernels_that_are_quick_from_eight_pictures_on_are_used() -> None:
    model = LatencyModel()
    for images, seconds in {1: 0.010, 2: 0.020, 4: 0.040, 8: 0.040}.items():
        model.observe(images, seconds)
    assert model.efficient_size(8) == 8


def test_with_nothing_learned_batches_are_as_large_as_allowed() -> None:
    assert LatencyModel().efficient_size(6) == 6


def test_the_efficient_size_follows_what_is_learned_later() -> None:
    model = LatencyModel(smoothing=0.5)
    model.observe(1, 0.010)
    model.observe(8, 0.080)
    assert model.efficient_size(8) == 1
    for _ in range(40):  # a flat engine, learned step by step
        model.observe(8, 0.010)
        model.efficient_size(8)
    assert model.efficient_size(8) == 8
    for _ in range(40):
        model.observe(8, 0.080)
        model.efficient_size(8)
    assert model.efficient_size(8) == 1


def test_what_was_learned_long_ago_counts_as_much_as_one_new_batch() -> None:
    model = LatencyModel()
    model.observe(1, 0.030)
    for _ in range(OLD_BATCHES + 1):
        model.observe(8, 0.080)
    model.observe(1, 0.010)
    assert model.predict(1) == pytest.approx(0.020)
    model.observe(1, 0.010)
    assert model.predict(1) == pytest.approx(0.019), "and then as always"
