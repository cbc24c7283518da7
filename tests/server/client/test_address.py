"""Addresses, paths, queries and keys."""

from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.client.address import key_headers, parse_address, predict_path, query_of


@pytest.mark.parametrize(
    ("text", "http", "websocket"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/x", "ws://127.0.0.1:8000/x"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/x", "ws://127.0.0.1:8000/x"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000/x", "ws://127.0.0.1:8000/x"),
        ("camera-server", "http://camera-server/x", "ws://camera-server/x"),
        ("https://here.example/quickeye/", "https://here.example/quickeye/x", "wss://here.example/quickeye/x"),
        ("wss://here.example", "https://here.example/x", "wss://here.example/x"),
        ("http://[::1]:8000", "http://[::1]:8000/x", "ws://[::1]:8000/x"),
    ],
)
def test_an_address_is_understood(text: str, http: str, websocket: str) -> None:
    address = parse_address(text)
    assert (address.http("/x"), address.websocket("/x")) == (http, websocket)


@pytest.mark.parametrize(
    "text",
    ["", "ftp://x", "http://", "http://a b", "http://h:99999", "http://me:secret@h", "http://h?key=1", "http://ü"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "loopback"),
    [("127.0.0.1:1", True), ("localhost", True), ("[::1]:5", True), ("192.168.1.7", False), ("server", False)],
)
def test_no_proxy_is_asked_for_this_machine(text: str, loopback: bool) -> None:
    assert parse_address(text).is_loopback is loopback


@given(st.text(min_size=1, max_size=20), st.none() | st.integers(1, 99))
def test_a_model_s_name_keeps_to_its_segment(name: str, version: int | None) -> None:
    parts = predict_path(name, version).split("/")
    assert unquote(parts[3]) == name
    assert parts[4:] == ([] if version is None else ["versions", str(version)]) + ["predict"]


def test_a_version_of_no_model_is_refused() -> None:
    assert predict_path(None, None) == "/v1/predict"
    with pytest.raises(ValueError, match="version needs model"):
        predict_path(None, 2)


@given(st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20))
def test_options_come_back_from_a_query_as_they_were(threshold: float, model: str) -> None:
    query = query_of(threshold=threshold, model=model, top_k=3, only_changed=True, explain=None)
    url = parse_address("h").http("/v1", query)
    found = {name: values[0] for name, values in parse_qs(urlsplit(url).query, keep_blank_values=True).items()}
    assert float(found.pop("threshold")) == threshold
    assert found == {"model": model, "top_k": "3", "only_changed": "true"}


def test_a_key_goes_into_a_header_or_is_refused() -> None:
    assert key_headers(None) == {}
    assert key_headers("s3cret!") == {"Authorization": "Bearer s3cret!"}
    for wrong in ("", "two words", "new\r\nline", "schlüssel"):
        with pytest.raises(ValueError, match="visible ASCII"):
            key_headers(wrong)
