"""What a stream's client knows: frames under way, events to be read, how it ended."""

import math

import pytest

from server.client import (
    ConfigChanged,
    Dropped,
    Event,
    FrameError,
    FrameTooLargeError,
    Ready,
    Result,
    Stats,
    StreamClosedError,
    UnreadEventsError,
)
from server.client.events import event_of
from server.client.stream_state import StreamState
from tests.server.client.stream_double import OPTIONS, STATS, Came, result_of


def state(policy: str = "all", max_inflight: int | None = None, max_unread: int = 10) -> StreamState:
    limits = {"max_frame_bytes": 100, "max_inflight": 4, "max_frame_age_ms": 1000, "formats": ["jpeg"]}
    named = {"type": "ready", "model": "m", "version": 1, "session": "s", "limits": limits}
    ready = event_of({**named, "options": {**OPTIONS, "policy": policy}})
    assert isinstance(ready, Ready)
    return StreamState(ready, max_inflight, max_unread)


def result(seq: int) -> Result:
    event = event_of(result_of(Came(0, seq, 0.0, b"cat")))
    assert isinstance(event, Result)
    return event


def asking(stream: StreamState, kind: type[ConfigChanged | Stats] | None, event: Event) -> Event | None:
    """Hear an event while something was asked for; the answer."""
    stream.asked, stream.answer = kind, None
    stream.heard(event, 0.0)
    return stream.answer


def heard(document: dict[str, object]) -> ConfigChanged | Stats:
    event = event_of(document)
    assert isinstance(event, ConfigChanged | Stats)
    return event


@pytest.mark.parametrize(
    ("policy", "given", "size"), [("all", None, 4), ("all", 3, 3), ("all", 9, 4), ("latest", None, 2), ("latest", 7, 7)]
)
def test_the_window_is_what_was_asked_or_what_the_policy_needs(policy: str, given: int | None, size: int) -> None:
    assert state(policy, given).window.size == size
    assert state(policy).window.newest_wins is (policy == "latest")


def test_a_replaced_frame_is_an_event() -> None:
    stream = state("latest")
    assert [stream.put(b"a", 1.0), stream.put(b"b", 2.0)] == [1, 2]
    assert stream.events[-1] == Dropped(1, 1.0, "superseded", sent=False)


def test_a_result_has_its_round_trip() -> None:
    stream = state()
    stream.put(b"a", 1.0)
    stream.window.take(10.0)
    stream.heard(result(1), 10.25)
    event = stream.events[-1]
    assert isinstance(event, Result)
    assert (event.round_trip_ms, stream.window.unanswered()) == (250.0, ())
    stream.heard(result(77), 11.0)
    assert stream.events[-1] == result(77)


def test_an_answer_goes_to_who_asked_and_a_changed_config_to_both() -> None:
    stream = state("latest")
    changed = heard({"type": "config", **OPTIONS, "policy": "all"})
    assert asking(stream, ConfigChanged, changed) is changed
    assert (stream.events[-1], stream.window.newest_wins) == (changed, False)
    stats = heard(STATS)
    assert asking(stream, Stats, stats) is stats
    refusal = FrameError(None, None, "invalid_request", "no")
    assert asking(stream, Stats, refusal) is refusal
    assert stream.events[-1] is changed
    assert asking(stream, None, refusal) is None
    assert list(stream.events)[-1:] == [refusal]


def test_it_ended_well_only_when_everything_was_answered() -> None:
    stream = state()
    stream.put(b"a", 1.0)
    stream.window.take(0.0)
    stream.ending = True
    stream.heard(heard(STATS), 0.0)
    stream.over = StreamClosedError("closed", close_code=1000)
    before = stream.ended_well
    stream.heard(result(1), 0.0)
    assert (before, stream.ended_well) == (False, True)
    assert stream.final == stream.events[-2]


def test_nothing_is_sent_after_the_end_nor_too_large_nor_unread() -> None:
    stream = state(max_unread=2)
    with pytest.raises(FrameTooLargeError, match="101 bytes; this server takes at most 100"):
        stream.must_fit(bytes(101), 0.0)
    for wrong in (math.nan, math.inf):
        with pytest.raises(ValueError, match="finite"):
            stream.must_fit(b"a", wrong)
    may_read = [stream.may_read]
    stream.heard(result(1), 0.0)
    may_read.append(stream.may_read)
    with pytest.raises(UnreadEventsError, match="iterate"):
        stream.must_be_read()
    stream.ending = True
    assert [*may_read, stream.may_read] == [True, False, True]
    with pytest.raises(RuntimeError, match="ended"):
        stream.must_be_open()
    with pytest.raises(RuntimeError, match="open"):
        _ = stream.reason
