"""Text messages."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import InvalidRequestError
from server.streams.control import FIELDS, MAX_CHARACTERS, parse_control


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"ping"}', '{"type":"ping","id":1}', '{"type":"ping","id":"a"}', '{"type":"ping","id":-1.5}',
        '{"type":"stats"}', '{"type":"end"}', '{"type":"config"}', '{"type":"config","anything":[]}',
    ],
)  # fmt: skip
def test_messages_that_are_taken(text: str) -> None:
    assert parse_control(text) == orjson.loads(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "JSON"), ("{", "JSON"), ("{'type': 'ping'}", "JSON"), ('{"type":"ping"}x', "JSON"), ("NaN", "JSON"),
        ("[]", "object"), ('"ping"', "object"), ("3", "object"), ("null", "object"),
        ("{}", "type must be one of config, ping, stats, end"), ('{"type":"pong"}', "type must"),
        ('{"type":["ping"]}', "type must"), ('{"type":"ping","ids":1}', "no field 'ids'"),
        ('{"type":"end","now":true}', "no field"), ('{"type":"ping","id":[1]}', "id must"),
        ('{"type":"ping","id":"' + "x" * 201 + '"}', "id must"), ("x" * (MAX_CHARACTERS + 1), "binary messages"),
        ('{"type":"ping","id":null}', "id must"), ('{"type":"ping","id":true}', "id must"),
        ('{"type":' + "[" * 1020 + "]" * 1020 + "}", "not a list"),
        ("[" * 10_000, "JSON"), ('{"type":"' + "x" * 5000 + '"}', "type must"),
    ],
)  # fmt: skip
def test_messages_that_are_refused_in_words(text: str, why: str) -> None:
    with pytest.raises(InvalidRequestError, match=why) as caught:
        parse_control(text)
    assert len(str(caught.value)) < 300


@given(st.one_of(st.text(), st.recursive(st.none() | st.text() | st.floats(), st.lists).map(lambda v: str(v))))
def test_no_text_does_anything_else(text: str) -> None:
    try:
        assert parse_control(text)["type"] in FIELDS
    except InvalidRequestError as error:
        assert error.code == "invalid_request"
