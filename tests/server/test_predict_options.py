"""The query string of a prediction."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.config import Config
from server.errors import InvalidRequestError
from server.predict_options import defaults, parse_options

CONFIG = Config()


def test_nothing_said_is_the_defaults() -> None:
    assert parse_options(b"", CONFIG) == defaults(CONFIG)
    assert (defaults(CONFIG).job.top_k, defaults(CONFIG).timeout_s, defaults(CONFIG).priority) == (5, 5.0, 5)
    assert defaults(CONFIG).job.threshold == -math.inf


def test_everything_said_is_taken() -> None:
    options = parse_options(b"top_k=3&timeout_ms=250&priority=0&threshold=0.5", CONFIG)
    assert (options.job.top_k, options.job.threshold) == (3, 0.5)
    assert (options.timeout_s, options.priority) == (0.25, 0)


@pytest.mark.parametrize(
    "query",
    [
        "top_k=0", "top_k=-1", "top_k=1000000000", "top_k=NaN", "top_k=", "top_k=2.5", "top_k=1e2", "top_k=٣",
        "top_k=" + "9" * 5000, "top_k=1&top_k=2", "priority=10", "priority=-1", "timeout_ms=0", "timeout_ms=-5",
        "timeout_ms=nan", "timeout_ms=inf", "timeout_ms=99999999", "threshold=nan", "threshold=x", "explain=",
        "explain=CAM", "explain=true", "explain=cam&explain=cam",
        "topk=3", "%ff=1", "top_k=%ff",
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(query: str) -> None:
    with pytest.raises(InvalidRequestError):
        parse_options(query.encode("utf-8"), CONFIG)


def test_an_explanation_is_asked_for_by_name() -> None:
    assert parse_options(b"explain=cam", CONFIG).job.explain
    assert not parse_options(b"top_k=3", CONFIG).job.explain
    with pytest.raises(InvalidRequestError, match="explain must be cam"):
        parse_options(b"explain=lime", CONFIG)


def test_a_typing_error_gets_a_hint() -> None:
    with pytest.raises(InvalidRequestError, match="did you mean top_k"):
        parse_options(b"topk=3", CONFIG)


@given(st.binary(max_size=60))
def test_any_query_is_options_or_a_refusal(query: bytes) -> None:
    try:
        options = parse_options(query, CONFIG)
    except InvalidRequestError:
        return
    assert 1 <= options.job.top_k <= 1000
    assert 0 <= options.priority <= 9
    assert 0 < options.timeout_s <= CONFIG.max_timeout_ms / 1e3
