"""Sharing out between two decoders, by times fed by hand: what each learns, and where the best share lies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.decode_shares import TRIED_EVERY, DecodeShares, Line

PX = 300_000  # of one picture


def learned(device: tuple[float, float], cpu: tuple[float, float]) -> DecodeShares:
    """Each side: seconds to begin, and seconds of a picture."""
    shares = DecodeShares()
    for side, (begin, each) in ((shares.device, device), (shares.cpu, cpu)):
        for pictures in (1, 8, 64, 2, 32) * 4:
            side.learn(pictures * PX, begin + pictures * each)
    return shares


def seconds(shares: DecodeShares, batch: int, on_device: int) -> float:
    return max(shares.device.predict(on_device * PX), shares.cpu.predict((batch - on_device) * PX))


def test_a_line_is_learned_from_batches_of_several_sizes() -> None:
    line = Line()
    for pictures in (1, 10, 4, 7) * 3:
        line.learn(pictures * PX, 0.002 + pictures * 0.0001)
    for pictures in (1, 5, 100):
        assert line.predict(pictures * PX) == pytest.approx(0.002 + pictures * 0.0001, rel=1e-6)


def test_of_one_size_alone_a_line_knows_the_rate() -> None:
    line = Line()
    assert not line.is_known and line.predict(PX) == 0
    for _ in range(5):
        line.learn(64 * PX, 0.064)
    assert line.is_known
    assert line.predict(32 * PX) == pytest.approx(0.032)
    assert line.predict(0) == 0


def test_a_line_follows_what_changes() -> None:
    line = Line()
    for _ in range(50):
        line.learn(PX, 0.001)
    for _ in range(50):
        line.learn(PX, 0.003)
    assert line.predict(PX) == pytest.approx(0.003, rel=0.02)


@given(st.lists(st.tuples(st.floats(1, 1e9), st.floats(0, 10)), min_size=1, max_size=40), st.floats(0, 1e9))
def test_no_time_is_negative(seen: list[tuple[float, float]], work: float) -> None:
    line = Line()
    for done, took in seen:
        line.learn(done, took)
    assert line.predict(work) >= 0


def test_both_end_together() -> None:
    shares = learned((0.001, 0.0001), (0.0, 0.0003))
    on_device = shares.for_device([PX] * 256)
    assert 180 < on_device < 200
    assert shares.device.predict(on_device * PX) == pytest.approx(shares.cpu.predict((256 - on_device) * PX), rel=0.02)


def test_few_go_where_they_end_sooner() -> None:
    slow_to_begin = learned((0.005, 0.0001), (0.0, 0.0005))
    assert slow_to_begin.for_device([PX]) == 0
    assert slow_to_begin.for_device([PX] * 4) == 0
    assert slow_to_begin.for_device([PX] * 64) > 32
    quick = learned((0.0001, 0.0001), (0.0, 0.002))
    assert quick.for_device([PX]) == 1


def test_pictures_that_only_the_cpu_can_decode_count_with_it() -> None:
    shares = learned((0.0, 0.0002), (0.0, 0.0002))
    assert shares.for_device([PX] * 10) == 5
    assert shares.for_device([PX] * 10, 4 * PX) == 7
    assert shares.for_device([PX] * 10, 100 * PX) == 10
    assert shares.for_device([], PX) == 0


@given(
    st.tuples(st.floats(0, 0.01), st.floats(1e-6, 0.01)),
    st.tuples(st.floats(0, 0.01), st.floats(1e-6, 0.01)),
    st.integers(1, 40),
)
def test_no_other_share_ends_sooner(device: tuple[float, float], cpu: tuple[float, float], batch: int) -> None:
    shares = learned(device, cpu)
    best = min(seconds(shares, batch, count) for count in range(batch + 1))
    assert seconds(shares, batch, shares.for_device([PX] * batch)) <= best * (1 + 1e-9) + 1e-12


def test_who_knows_nothing_is_asked_first() -> None:
    shares = DecodeShares()
    assert shares.for_device([PX] * 10) == 5
    assert shares.for_device([PX]) == 1
    shares.device.learn(PX, 0.001)
    assert shares.for_device([PX]) == 0
    assert shares.for_device([PX] * 10) == 5


def test_a_side_that_gets_nothing_is_tried_now_and_then_with_one_picture() -> None:
    never = learned((1.0, 1.0), (0.0, 0.0001))
    assert [never.for_device([PX] * 8) for _ in range(2 * TRIED_EVERY)].count(1) == 2
    always = learned((0.0, 0.0001), (1.0, 1.0))
    told = [always.for_device([PX] * 8) for _ in range(2 * TRIED_EVERY)]
    assert (told.count(7), told.count(8)) == (2, 2 * TRIED_EVERY - 2)


def test_a_side_that_became_quicker_is_found() -> None:
    shares = learned((0.005, 0.005), (0.0, 0.001))
    for _ in range(60 * TRIED_EVERY):
        count = shares.for_device([PX] * 8)
        if count:
            shares.device.learn(count * PX, 0.0001 * count)
        if count < 8:
            shares.cpu.learn((8 - count) * PX, 0.001 * (8 - count))
    assert count >= 7
