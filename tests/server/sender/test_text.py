"""A stream's figures for a person."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.client import Dropped, FrameError
from server.percentiles import percentiles
from server.sender.tally import StreamTally
from server.sender.text import bar, clock_time, counted, fitted, latency, printable, score, status, summary
from tests.server.streamed import Clock, ready, result


@given(st.floats(allow_nan=False), st.integers(0, 60), st.booleans())
def test_a_bar_has_its_width_whatever_the_score(value: float, width: int, blocks: bool) -> None:
    drawn = bar(value, width, blocks=blocks)
    assert len(drawn) == width
    full = drawn.count("█") + drawn.count("#")
    assert abs(full - min(1.0, max(0.0, value)) * width) <= 1


@given(st.text(), st.integers(0, 50))
def test_a_line_fits_and_is_printable(text: str, columns: int) -> None:
    shown = fitted(printable(text), columns)
    assert len(shown) <= columns or any(len(character.encode()) > 1 for character in shown)
    assert shown.isprintable()


def test_wide_characters_take_two_columns() -> None:
    assert fitted("日本語 text", 7) == "日本語 "
    assert fitted("日本語", 5) == "日本"
    assert fitted("e\u0301e\u0301e", 2) == "e\u0301e\u0301"


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.0%"), (0.7134, "71.3%"), (1.0, "100.0%"), (12.345, "12.35"), (-0.5, "-0.50")]
)
def test_a_score_is_a_percentage_when_it_can_be_one(value: float, text: str) -> None:
    assert score(value) == text


def test_small_words() -> None:
    assert [clock_time(seconds) for seconds in (0.0, 59.9, 60.0, 3661.0)] == ["0:00", "0:59", "1:00", "61:01"]
    assert counted(Counter({"stale": 1, "overloaded": 2000})) == "2,001: overloaded 2,000, stale 1"
    assert counted(Counter()) == "0"
    assert latency(None) == "– p50, – p99"
    assert latency(percentiles([4.0, 2.0])) == "2.0 ms p50, – p99"
    assert latency(percentiles(range(1, 101))) == "50.0 ms p50, 99.0 ms p99"


def test_the_summary_says_what_became_of_every_frame() -> None:
    clock = Clock()
    tally = StreamTally(clock)
    for _ in range(2):
        tally.connected(ready())
    for _ in range(5):
        tally.read(10)
    tally.add(result(1, "cat", round_trip_ms=9.0, reused=True))
    tally.add(Dropped(2, None, "stale"))
    tally.add(FrameError(3, None, "undecodable_image", "not a picture\x1b[2J"))
    clock.now_s += 2.0
    assert summary(tally).splitlines() == [
        "frames      5 in 2.0 s (2.5/s)",
        "results     1 (0.5/s), 1 of them reused",
        "dropped     1: stale 1; 2 without an answer",
        "errors      1: undecodable_image 1; the last: not a picture�[2J",
        "round trip  9.0 ms p50, – p99",
        "server      4.0 ms p50, – p99",
        "connected   2 times",
    ]
    assert status(tally) == ("0:02  2.5 in/s  0.5 out/s  round trip 9.0 ms p50, – p99  dropped 1  errors 1  75.0% cat")
