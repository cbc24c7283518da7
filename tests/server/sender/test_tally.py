"""Counts, rates and latencies of a run."""

from server.client import Dropped, FrameError
from server.sender.tally import RATE_WINDOW_S, SUPERSEDED_HERE, Rate, StreamTally
from tests.server.streamed import Clock, ready, result


def test_a_rate_is_of_the_last_seconds() -> None:
    clock = Clock()
    rate = Rate(clock)
    for _ in range(100):
        clock.now_s += 0.1
        rate.add()
    assert abs(rate.per_s - 10.0) < 0.51
    clock.now_s += RATE_WINDOW_S / 2
    assert abs(rate.per_s - 5.0) < 0.51
    clock.now_s += RATE_WINDOW_S
    assert rate.per_s == 0.0


def test_every_frame_ends_in_one_count() -> None:
    clock = Clock()
    tally = StreamTally(clock, expected=9)
    tally.connected(ready())
    for _ in range(6):
        tally.read(100)
    tally.add(result(1, "cat", age_ms=5.0, round_trip_ms=9.0))
    tally.add(result(2, "dog", reused=True))
    tally.add(Dropped(3, None, "stale"))
    tally.add(Dropped(4, None, "superseded", sent=False))
    tally.add(FrameError(5, None, "undecodable_image", "broken"))
    assert (tally.frames, tally.bytes, tally.under_way) == (6, 600, 1)
    assert (tally.results, tally.reused, dict(tally.errors)) == (2, 1, {"undecodable_image": 1})
    assert dict(tally.dropped) == {"stale": 1, SUPERSEDED_HERE: 1}
    assert (tally.model, tally.last_error, tally.connections) == ("shoes/2", "broken", 1)
    assert [one.label for one in tally.predictions] == ["dog", "other"]
    assert tally.round_trip_ms is not None
    assert (tally.round_trip_ms.n, tally.round_trip_ms.maximum) == (1, 9.0)
    assert tally.server_ms is not None
    assert tally.server_ms.n == 2
    clock.now_s += 2.0
    assert tally.rates(whole_run=True) == (3.0, 1.0)


def test_an_unchanged_result_keeps_the_classes_that_were_told() -> None:
    tally = StreamTally(Clock())
    tally.add(result(1, "cat"))
    tally.add(result(2, "", unchanged=True))
    assert [one.label for one in tally.predictions] == ["cat", "other"]
    assert tally.results == 2
