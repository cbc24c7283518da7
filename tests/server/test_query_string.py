"""Query strings that name what is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import InvalidRequestError
from server.query_string import MAX_FIELDS, read_query

KNOWN = ("top_k", "threshold")


@pytest.mark.parametrize(
    ("query", "values"),
    [
        (b"", {}),
        (b"top_k=3", {"top_k": "3"}),
        (b"top_k=&threshold=a%20b", {"top_k": "", "threshold": "a b"}),
        (b"&top_k=%C3%A9", {"top_k": "é"}),
    ],
)
def test_what_is_known_is_read(query: bytes, values: dict[str, str]) -> None:
    assert read_query(query, KNOWN) == values


@pytest.mark.parametrize(
    ("query", "why"),
    [
        (b"topk=3", "no parameter 'topk'; did you mean top_k"),
        (b"qqq=3", "known: top_k, threshold"),
        (b"top_k=3&top_k=3", "top_k is given twice"),
        (b"top_k=%FF", "cannot be read"),
        (b"top_k=\xff", "cannot be read"),
        (b"&".join([b"top_k=1"] * (MAX_FIELDS + 1)), "cannot be read"),
        (b"x" * 10_000 + b"=1", "no parameter 'xxx"),
    ],
)
def test_what_is_not_is_refused_in_words(query: bytes, why: str) -> None:
    with pytest.raises(InvalidRequestError, match=why) as caught:
        read_query(query, KNOWN)
    assert len(str(caught.value)) < 200


@given(st.binary())
def test_no_bytes_do_anything_else(query: bytes) -> None:
    try:
        assert set(read_query(query, KNOWN)) <= set(KNOWN)
    except InvalidRequestError as error:
        assert str(error)
