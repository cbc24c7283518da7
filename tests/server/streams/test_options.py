"""A stream's options, from a query and from a message."""

from typing import Any
from urllib.parse import urlencode

import jsonschema_rs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import InvalidRequestError
from server.routes.stream_messages import SCHEMAS
from server.streams.options import OPTIONS, StreamOptions, changed, parse_query

GOOD: dict[str, Any] = {
    "model": "shoes",
    "version": 3,
    "top_k": 1,
    "threshold": 0.25,
    "priority": 0,
    "policy": "all",
    "only_changed": True,
    "gate": 2.5,
    "smoothing": 0.5,
    "explain": "cam",
}
BAD: list[tuple[str, Any]] = [
    ("model", ""), ("model", "x" * 201), ("model", 3), ("model", None),
    ("version", 0), ("version", 1.5), ("version", "new"), ("version", True),
    ("top_k", 0), ("top_k", 1001), ("top_k", "5"), ("top_k", 5.0), ("top_k", None), ("top_k", 10**30),
    ("threshold", "high"), ("threshold", 1e10), ("threshold", [1]),
    ("priority", -1), ("priority", 10), ("policy", "newest"), ("policy", None), ("policy", ["all"]),
    ("only_changed", 1), ("only_changed", "true"), ("only_changed", None),
    ("gate", -0.1), ("gate", 256), ("gate", True), ("smoothing", 1), ("smoothing", -0.5), ("explain", "lime"),
    ("explain", True), ("top-k", 5), ("timeout_ms", 5),
]  # fmt: skip


def as_query(options: dict[str, Any]) -> bytes:
    words = {name: str(value).lower() if isinstance(value, bool) else value for name, value in options.items()}
    return urlencode(words).encode()


def test_without_a_query_the_defaults_hold() -> None:
    assert parse_query(b"") == StreamOptions()
    assert StreamOptions().effective() == {
        "model": None, "version": None, "top_k": 5, "threshold": None, "priority": 5, "policy": "latest",
        "only_changed": False, "gate": 0.0, "smoothing": 0.0, "explain": None,
    }  # fmt: skip


def test_every_option_is_read_from_a_query_and_from_a_message() -> None:
    assert set(GOOD) == set(OPTIONS) == set(StreamOptions().effective())
    assert parse_query(as_query(GOOD)) == StreamOptions(**GOOD)
    assert changed(StreamOptions(), {"type": "config", **GOOD}) == StreamOptions(**GOOD)


@pytest.mark.parametrize(("name", "value"), BAD, ids=[f"{name}={str(value)[:20]}" for name, value in BAD])
def test_a_bad_value_in_a_message_changes_nothing_and_is_named(name: str, value: object) -> None:
    with pytest.raises(InvalidRequestError, match=f"{name}"):
        changed(StreamOptions(), {"type": "config", name: value})


@pytest.mark.parametrize(
    "query",
    [
        b"top_k=0", b"top_k=x", b"top_k=", b"top_k=1.0", b"top_k=1e1", b"top_k=NaN", b"only_changed=yes",
        b"only_changed=1", b"policy=newest", b"gate=-1", b"gate=nan", b"gate=1e999", b"smoothing=1", b"explain=true",
        b"threshold=null", b"version=null", b"version=-1", b"model=", b"topk=3", b"top_k=1&top_k=1", b"top_k=\xff",
        b"model=%ff", b"&".join(b"top_k=1" for _ in range(40)), b"threshold=" + b"9" * 5000, b"top_k=[1]",
    ],
)  # fmt: skip
def test_a_bad_query_is_refused(query: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        parse_query(query)


@pytest.mark.parametrize("value", ["[" * 1020 + "]" * 1020, '{"a":' * 1020 + "1" + "}" * 1020])
def test_a_value_nested_deeper_than_python_prints_is_refused_in_words(value: str) -> None:
    with pytest.raises(InvalidRequestError, match="top_k must be a whole number from 1 to 1000, not a"):
        parse_query(b"top_k=" + value.encode())
    with pytest.raises(InvalidRequestError, match="policy must be latest or all, not a"):
        changed(StreamOptions(), {"policy": orjson.loads(value)})


def test_a_name_that_looks_like_a_number_stays_a_name() -> None:
    assert parse_query(b"model=12").model == "12"
    assert parse_query(b"model=null").model == "null"


def test_a_misspelt_name_gets_a_hint() -> None:
    with pytest.raises(InvalidRequestError, match="did you mean only_changed"):
        parse_query(b"only_change=true")


def test_another_model_is_its_newest_version_unless_one_is_named() -> None:
    before = StreamOptions(model="shoes", version=2)
    assert changed(before, {"model": "boots"}) == StreamOptions(model="boots")
    assert changed(before, {"model": "boots", "version": 4}) == StreamOptions(model="boots", version=4)
    assert changed(before, {"top_k": 1}).version == 2


def test_null_takes_back_what_has_no_default_of_its_own() -> None:
    before = StreamOptions(model="shoes", version=2, threshold=0.5, explain="cam")
    after = changed(before, {"version": None, "threshold": None, "explain": None})
    assert after == StreamOptions(model="shoes")


def test_the_first_bad_option_keeps_the_good_ones_from_changing() -> None:
    before = StreamOptions()
    with pytest.raises(InvalidRequestError):
        changed(before, {"top_k": 1, "gate": -1})
    assert before == StreamOptions()


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(0, 1000), st.floats(allow_nan=False), st.floats(0, 1),
    st.sampled_from(["latest", "all", "cam", "", "shoes"]), st.text(), st.lists(st.integers()),
)  # fmt: skip


@given(message=st.dictionaries(st.sampled_from([*OPTIONS, "other"]), VALUES))
def test_the_reader_and_the_published_schema_agree(message: dict[str, Any]) -> None:
    described = jsonschema_rs.Draft7Validator(SCHEMAS["configure"]).is_valid({"type": "config", **message})
    try:
        after = changed(StreamOptions(), message)
    except InvalidRequestError:
        assert not described or any(_is_whole_float(value) for value in message.values())
    else:
        assert described
        assert changed(after, after.effective() | {"model": after.model or "shoes"}).top_k == after.top_k


def _is_whole_float(value: object) -> bool:
    """JSON schema takes 5.0 for an integer; the server wants 5."""
    return isinstance(value, float) and value.is_integer()
