"""Replies, events and refusals as types, and documents of another shape."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.client import (
    ConfigChanged,
    Dropped,
    FrameError,
    Result,
    Stats,
    UnexpectedReplyError,
)
from server.client.events import event_of
from server.client.message import event_in
from server.client.refusals import document_of, refusal_of, seconds_of
from server.client.replies import class_activation_of, models_of, reply_of
from tests.server.client.stream_double import OPTIONS, STATS, Came, dropped, failed, result_of

FRAME = Came(0, 9, 12.5, b"cat")
REPLY: dict[str, Any] = {
    "model": "m", "version": 3, "request_id": "r", "timing_ms": {"total": 4.5},
    "results": [
        {"predictions": [{"index": 1, "label": "cat", "score": 0.5}, {"index": 0, "label": "dog", "score": 0.25}],
         "width": 4, "height": 3, "error": None, "batch_size": 2,
         "timing_ms": {"queue": 1, "decode": 2, "preprocess": 3, "infer": 4, "postprocess": 5}},
        {"predictions": [], "width": None, "height": None, "error": {"code": "undecodable_image", "message": "no"}},
    ],
}  # fmt: skip


def test_a_reply_as_types() -> None:
    reply = reply_of(REPLY)
    first, second = reply.results
    assert (reply.model, reply.version, reply.total_ms) == ("m", 3, 4.5)
    assert reply.best is not None
    assert (reply.best.label, first.batch_size, first.width, first.height) == ("cat", 2, 4, 3)
    assert first.timing_ms is not None
    assert first.timing_ms.total == 15
    assert second.error is not None
    assert (second.error.code, second.best, second.timing_ms) == ("undecodable_image", None, None)


@pytest.mark.parametrize("path", [("model",), ("results",), ("results", 0, "predictions", 0, "score"), ("timing_ms",)])
def test_a_reply_without_something_is_said_clearly(path: tuple[str | int, ...]) -> None:
    document: Any = json.loads(json.dumps(REPLY))
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    with pytest.raises(UnexpectedReplyError, match="is this a Quickeye server"):
        reply_of(document)


NAMES = st.sampled_from(["type", "results", "model", "seq", "predictions", "options", "limits"])
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner),
)


@given(DOCUMENTS)
def test_no_document_of_a_stranger_gives_another_error(document: Any) -> None:  # noqa: ANN401
    for read in (reply_of, models_of, event_of):
        try:
            read(document)
        except UnexpectedReplyError:
            continue
    for kind in ("ready", "result", "dropped", "error", "config", "stats"):
        inner = document if isinstance(document, dict) else {"seq": document}
        with pytest.raises(UnexpectedReplyError):
            event_of({**inner, "type": kind, "seq": "?", "seconds": "?", "top_k": "?", "version": "?"})


def test_events_as_types() -> None:
    result = event_of(result_of(FRAME))
    assert isinstance(result, Result)
    assert result.best is not None
    assert (result.seq, result.captured_at, result.best.label, result.age_ms) == (9, 12.5, "cat", 3.5)
    assert event_of(dropped(FRAME, "stale")) == Dropped(9, 12.5, "stale", sent=True)
    assert event_of(failed(FRAME)) == FrameError(9, 12.5, "undecodable_image", "not a picture")
    stats = event_of(STATS)
    assert isinstance(stats, Stats)
    assert stats.frame_age_ms is not None
    assert (stats.seconds, stats.dropped.stale, stats.frame_age_ms.p99) == (1.5, 0, 9.0)
    changed = event_of({"type": "config", **OPTIONS, "threshold": 0.5})
    assert isinstance(changed, ConfigChanged)
    assert (changed.model, changed.options.threshold, changed.options.policy) == ("shoes", 0.5, "latest")


def test_an_event_of_a_newer_server_is_passed_over() -> None:
    assert event_of({"type": "weather", "rain": True}) is None


def test_what_is_no_message_is_said_clearly() -> None:
    for message in ("hello", "[1]", b"\xc1", b"\x01", "null"):
        with pytest.raises(UnexpectedReplyError, match="no event"):
            event_in(message)


def test_a_map_of_where_it_was_seen_comes_in_both_formats() -> None:
    entry = {"index": 7, "height": 5, "width": 6, "maximum": 2.5, "box": [0, -8, 64, 56.5], "png": "iVBORw=="}
    found = class_activation_of(entry)
    assert found is not None
    assert (found.index, found.height, found.width, found.png) == (7, 5, 6, b"\x89PNG")
    assert (found.maximum, found.box) == (2.5, (0.0, -8.0, 64.0, 56.5))
    assert class_activation_of({**entry, "png": b"\x89PNG"}) == found


def test_a_refusal_in_our_form() -> None:
    body = {"error": {"code": "overloaded", "message": "full", "request_id": "r7"}}
    error = refusal_of(429, {"Retry-After": "3"}, json.dumps(body).encode(), "here")
    assert (error.status, error.code, error.message, error.request_id) == (429, "overloaded", "full", "r7")
    assert (error.retry_after_s, error.transient, str(error)) == (3.0, True, "full (overloaded)")


def test_a_refusal_of_another_server_says_what_answered() -> None:
    error = refusal_of(404, {}, b"<h1>nginx</h1>\x1b[31m\n there is nothing", "http://h/v1/predict")
    assert (error.code, error.transient) == ("http_404", False)
    assert "http://h/v1/predict answered 404" in error.message
    assert "\x1b" not in error.message
    assert refusal_of(504, {}, b"", "h").transient
    with pytest.raises(UnexpectedReplyError, match="not JSON"):
        document_of(b"<h1>", "predict")


def test_retry_after_is_seconds_or_a_date() -> None:
    now = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
    assert seconds_of("7", now) == 7.0
    assert seconds_of("Thu, 01 Jan 2026 12:00:30 GMT", now) == 30.0
    assert seconds_of("Thu, 01 Jan 2026 11:00:00 GMT", now) == 0.0
    assert [seconds_of(text, now) for text in (None, "soon", "-1", "Thu, 45 Jan")] == [None] * 4
