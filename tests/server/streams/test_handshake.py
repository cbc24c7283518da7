"""Origins, keys and formats."""

import urllib.parse

import pytest

from server.errors import ForbiddenError
from server.keys import key_of
from server.streams.events import as_json, as_msgpack
from server.streams.handshake import chosen, must_be_ours, with_key

SHOP = ("https://shop.example",)


def opens(origin: str | None, host: str, allowed: tuple[str, ...]) -> bool:
    headers = {b"host": host.encode()}
    if origin is not None:
        headers[b"origin"] = origin.encode()
    try:
        must_be_ours(headers, allowed)
    except ForbiddenError as error:
        assert "allowed_origins" in str(error)
        return False
    return True


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "quick.eye", ()),
        ("http://quick.eye", "quick.eye", ()),
        ("https://quick.eye", "quick.eye", ()),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", ()),
        ("http://[::1]:8000", "[::1]:8000", ()),
        ("http://Quick.Eye:8000", "quick.eye:8000", ()),
        ("http://quick.eye", "quick.eye:80", ()),
        ("https://quick.eye", "quick.eye:443", ()),
        ("https://shop.example", "quick.eye", SHOP),
        ("https://SHOP.example", "quick.eye", ("https://Shop.example/",)),
        ("https://anything.else", "quick.eye", ("*",)),
        ("null", "quick.eye", ("null",)),
    ],
)
def test_pages_that_may_open_streams(origin: str | None, host: str, allowed: tuple[str, ...]) -> None:
    assert opens(origin, host, allowed)


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("http://evil.example", "quick.eye", ()),
        ("http://quick.eye.evil.example", "quick.eye", ()),
        ("http://quick.eye", "", ()),
        ("", "", ()),
        ("null", "null", ()),
        ("quick.eye", "quick.eye", ()),
        ("http://", "", ()),
        ("http://127.0.0.1:9000", "127.0.0.1:8000", ()),
        ("http://quick.eye:443", "quick.eye", ()),
        ("http://shop.example", "quick.eye", SHOP),
        ("https://shop.example:8443", "quick.eye", SHOP),
        ("https://shop.example.evil", "quick.eye", SHOP),
    ],
)
def test_pages_that_may_not(origin: str, host: str, allowed: tuple[str, ...]) -> None:
    assert not opens(origin, host, allowed)


@pytest.mark.parametrize("key", ["secret", "a b/c?d&e", "ünïcode", "p%20q", "comma,comma", "(brackets)"])
def test_a_key_may_come_as_a_subprotocol_percent_encoded(key: str) -> None:
    names = ["quickeye.json", "quickeye.key." + urllib.parse.quote(key, safe="")]
    assert key_of(with_key({}, names)) == key


def test_a_key_in_a_header_wins() -> None:
    assert key_of(with_key({b"x-api-key": b"one"}, ["quickeye.key.two"])) == "one"
    assert key_of(with_key({b"authorization": b"Bearer one"}, ["quickeye.key.two"])) == "one"


def test_a_key_that_no_header_could_carry_is_some_other_key() -> None:
    assert key_of(with_key({}, ["quickeye.key.%E9%94%AE"])) == "?"


def test_no_key_is_no_key() -> None:
    assert with_key({b"host": b"a"}, ["quickeye.json"]) == {b"host": b"a"}


@pytest.mark.parametrize(
    ("offered", "name", "form"),
    [
        ([], None, as_json),
        (["other"], None, as_json),
        (["quickeye.json"], "quickeye.json", as_json),
        (["quickeye.msgpack"], "quickeye.msgpack", as_msgpack),
        (["quickeye.msgpack", "quickeye.json"], "quickeye.msgpack", as_msgpack),
        (["other", "quickeye.json", "quickeye.msgpack"], "quickeye.json", as_json),
        (["quickeye.key.x"], "quickeye.key.x", as_json),
        (["quickeye.key.x", "quickeye.msgpack"], "quickeye.msgpack", as_msgpack),
    ],
)
def test_the_format_is_the_first_one_offered(offered: list[str], name: str | None, form: object) -> None:
    assert chosen(offered) == (name, form)
