"""One HTTP exchange: ids, replies, refusals, the line in the log."""

import asyncio
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import BodyTooLargeError, OverloadedError, Refusal, refusal_of
from server.exchange import MAX_LOGGED_PATH, Exchange, Message, RequestIds, open_exchange


class Sent:
    """Collects what an exchange sends."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.messages[0]["headers"])

    @property
    def document(self) -> Any:  # noqa: ANN401
        return orjson.loads(self.messages[1]["body"])


async def receive() -> Message:
    return {"type": "http.disconnect"}


def exchange(sent: Sent, headers: list[tuple[bytes, bytes]] | None = None, path: str = "/v1/predict") -> Exchange:
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": headers or [],
        "query_string": b"top_k=1",
        "client": ("10.0.0.7", 4711),
    }
    return open_exchange(scope, receive, sent, RequestIds())


def test_new_ids_differ_within_and_between_servers() -> None:
    first, second = RequestIds(), RequestIds()
    ids = [source.of(None) for source in (first, second) for _ in range(100)]
    assert len(set(ids)) == 200


@given(st.binary(max_size=200))
def test_a_callers_id_is_kept_only_when_it_can_do_no_harm(given_id: bytes) -> None:
    found = RequestIds().of(given_id)
    assert 1 <= len(found) <= 128
    assert all(letter.isalnum() or letter in "_.:-" for letter in found)
    harmless = given_id.isascii() and all(chr(byte).isalnum() or byte in b"_.:-" for byte in given_id)
    assert (found.encode() == given_id) is (harmless and 1 <= len(given_id) <= 128)


def test_a_reply_carries_its_length_type_and_id() -> None:
    sent = Sent()
    one = exchange(sent, [(b"x-request-id", b"mine-1")])
    asyncio.run(one.reply(200, b'{"a":1}', (b"server-timing", b"infer;dur=1")))
    assert sent.messages[0]["status"] == one.status == 200
    assert sent.headers[b"content-length"] == b"7"
    assert sent.headers[b"content-type"] == b"application/json"
    assert sent.headers[b"x-request-id"] == b"mine-1"
    assert sent.headers[b"server-timing"] == b"infer;dur=1"


def test_a_refusal_has_the_form_of_every_error() -> None:
    sent = Sent()
    one = exchange(sent)
    asyncio.run(one.refuse(refusal_of(OverloadedError("busy", retry_after_s=2.1)), results=[]))
    assert sent.messages[0]["status"] == 429
    assert sent.headers[b"retry-after"] == b"3"
    assert sent.document == {
        "error": {"code": "overloaded", "message": "busy", "request_id": one.request_id},
        "results": [],
    }
    assert one.record["code"] == "overloaded"


@pytest.mark.parametrize(
    ("refusal", "closes"),
    [
        (refusal_of(BodyTooLargeError("big")), True),
        (Refusal("body_timeout", "slow"), True),
        (Refusal("forbidden", "no"), False),
    ],
)
def test_the_connection_ends_only_where_the_body_was_left_unread(refusal: Refusal, closes: bool) -> None:
    sent = Sent()
    asyncio.run(exchange(sent).refuse(refusal))
    assert (sent.headers.get(b"connection") == b"close") is closes


def test_the_line_tells_who_asked_what_and_how_it_ended() -> None:
    sent = Sent()
    one = exchange(sent)
    one.record["images"] = 3
    asyncio.run(one.reply(200, b"{}"))
    line = one.line()
    assert {name: line[name] for name in ("client", "method", "path", "status", "images")} == {
        "client": "10.0.0.7",
        "method": "POST",
        "path": "/v1/predict",
        "status": 200,
        "images": 3,
    }
    assert line["request_id"] == one.request_id
    assert isinstance(line["total_ms"], float)


def test_a_long_path_does_not_fill_the_log() -> None:
    path = exchange(Sent(), path="/" + "x" * 60_000).line()["path"]
    assert len(str(path)) == MAX_LOGGED_PATH
