"""Speed by a clock that is turned by hand."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from optimize.candidates.recipe import Measuring
from optimize.candidates.speed import ROUNDS, measure_speed
from optimize.judging.judged_model import BundleModel


class Clock:
    """Seconds that pass only where work is done."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def model(
    clock: Clock,
    first_s: float,
    more_s: float,
    *,
    slow: Callable[[float], float] = lambda _: 1.0,
    most: int | None = None,
) -> BundleModel:
    """Takes ``first_s`` for a picture and ``more_s`` for each one more, times what ``slow`` says of the moment."""
    pictures = np.zeros((4, 2, 2, 1), np.uint8)

    def logits(batch: Any) -> None:  # noqa: ANN401
        clock.now += (first_s + more_s * (len(batch) - 1)) * slow(clock.now)

    made = SimpleNamespace(
        logits=logits,
        bundle=SimpleNamespace(check=lambda: SimpleNamespace(pictures=pictures)),
        spec=SimpleNamespace(max_batch=most),
        backend_name="onnxruntime",
        precision="fp32",
        threads=1,
    )
    return cast("BundleModel", made)


def test_ratios_and_milliseconds_are_of_the_same_rounds() -> None:
    clock = Clock()
    found = measure_speed(model(clock, 0.001, 0.0005), model(clock, 0.003, 0.003), Measuring(seconds=1.0), clock=clock)
    assert (found.faster, found.p50_ms, found.parent_ms) == (pytest.approx(3.0), pytest.approx(1.0), pytest.approx(3.0))
    assert found.images_per_s == pytest.approx(8 / 0.0045)
    assert found.throughput == pytest.approx(0.024 / 0.0045)
    assert (found.spread, found.throughput_spread) == (pytest.approx(0.0), pytest.approx(0.0))


def test_a_neighbour_that_slows_both_changes_no_ratio() -> None:
    """The machine is ten times slower in every second half minute."""
    clock = Clock()

    def slow(now: float) -> float:
        return 10.0 if int(now / 30) % 2 else 1.0

    found = measure_speed(
        model(clock, 0.01, 0.01, slow=slow), model(clock, 0.02, 0.02, slow=slow), Measuring(seconds=240.0), clock=clock
    )
    assert found.faster == pytest.approx(2.0, rel=0.01)


def test_an_engine_for_one_picture_at_a_time_is_given_one() -> None:
    clock = Clock()
    found = measure_speed(model(clock, 0.01, 9.0, most=1), model(clock, 0.01, 9.0), Measuring(seconds=0.1), clock=clock)
    assert found.batch == 1
    assert found.images_per_s == pytest.approx(100)
    assert ROUNDS % 2 == 0, "each of the two is first as often as the other"
