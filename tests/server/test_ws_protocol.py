"""The wire below streams: one message at a time, bounds, broken rules told, nobody waited for who does not read."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from server.exchange import Message, Receive, Scope, Send
from server.http_protocol import HttpProtocol
from server.streams.connection import connection_of
from server.ws_protocol import FRAMES_PER_TURN
from tests.server.raw_socket import (
    BINARY,
    CLOSE,
    CONT,
    MAX_BYTES,
    PING,
    PONG,
    TEXT,
    WAIT_S,
    Raw,
    connected,
    frame,
    handshake,
    noise,
    opened,
    until,
    wired,
)

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest) -> Callable[[Callable[[], Coroutine[Any, Any, None]]], None]:
    """Runs a scenario; a fault that only the loop hears of fails the test."""

    def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
        faults: list[dict[str, Any]] = []

        async def watched() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
            await asyncio.wait_for(scenario(), 3 * WAIT_S)

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(watched())
        assert faults == []

    return run


Play = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


class Echo:
    """Says back what it hears; ``ended`` is what ended each connection."""

    def __init__(self) -> None:
        self.ended: list[int] = []
        self.heard: list[Message] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})
            return
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            self.heard.append(message)
            await send({**message, "type": "websocket.send"})
        self.ended.append(message["code"])


class Deaf:
    """Accepts, then does nothing until the connection is lost."""

    def __init__(self) -> None:
        self.lost: asyncio.Queue[int] = asyncio.Queue()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        connection = connection_of(scope)
        await connection.lost.wait()
        self.lost.put_nowait(connection.close_code)

    async def ended(self) -> int:
        """Why the next connection was lost."""
        return await asyncio.wait_for(self.lost.get(), WAIT_S)


def test_messages_come_whole_and_go_back_whole(play: Play) -> None:
    async def scenario() -> None:
        async with wired(Echo()) as wire, opened(wire.port) as raw:
            for size in (0, 1, 125, 126, 65_535, 65_536, MAX_BYTES):
                data = noise(size)
                raw.says(frame(BINARY, data))
                assert await raw.hears() == (BINARY, data)
            raw.says(frame(TEXT, "grüße".encode()))
            assert await raw.hears() == (TEXT, "grüße".encode())

    play(scenario)


def test_compression_is_declined(play: Play) -> None:
    async def scenario() -> None:
        async with wired(Echo()) as wire, connected(wire.port) as raw:
            raw.says(handshake("/", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"))
            head = await raw.head()
            assert head.startswith("HTTP/1.1 101 ")
            assert "extensions" not in head.lower()

    play(scenario)


def test_a_mask_is_taken_off(play: Play) -> None:
    async def scenario() -> None:
        async with wired(Echo()) as wire, opened(wire.port) as raw:
            raw.says(b"\x82\x83\x01\x02\x03\x04" + bytes([0x61 ^ 1, 0x62 ^ 2, 0x63 ^ 3]))
            assert await raw.hears() == (BINARY, b"abc")

    play(scenario)


def test_a_message_in_a_hundred_thousand_fragments_is_one_message(play: Play) -> None:
    async def scenario() -> None:
        async with wired(Echo()) as wire, opened(wire.port) as raw:
            raw.says(frame(BINARY, b"<", fin=False))
            for _ in range(50):
                raw.says(*[frame(CONT, b"", fin=False)] * 1000, *[frame(CONT, b"x", fin=False)] * 1000, frame(PING))
            raw.says(frame(CONT, b">"))
            while (heard := await raw.hears()) == (PONG, b""):
                pass
            assert heard == (BINARY, b"<" + b"x" * 50_000 + b">")

    play(scenario)


def test_one_turn_of_the_loop_parses_a_few_frames_only(play: Play) -> None:
    async def scenario() -> None:
        async with wired(Echo()) as wire, opened(wire.port) as raw:
            (connection,) = wire.made
            # As one read of the socket gives them.
            first = frame(BINARY, b"x", fin=False)
            connection.data_received(first + frame(CONT, b"x", fin=False) * 998 + frame(CONT, b"x"))
            assert 0 < len(connection._message) <= FRAMES_PER_TURN + 1  # and the one that it waited for
            assert await raw.hears() == (BINARY, b"x" * 1000)

    play(scenario)


def test_many_small_messages_in_one_piece_come_one_by_one(play: Play) -> None:
    async def scenario() -> None:
        async with wired(Echo()) as wire, opened(wire.port) as raw:
            raw.says(*(frame(TEXT, str(number).encode()) for number in range(20_000)))
            for number in range(20_000):
                assert await raw.hears() == (TEXT, str(number).encode())

    play(scenario)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([frame(BINARY, b"x", masked=False)], 1002),
        ([frame(BINARY, b"x", reserved=4)], 1002),
        ([frame(3, b"x")], 1002),
        ([frame(CONT, b"x")], 1002),
        ([frame(BINARY, b"x", fin=False), frame(BINARY, b"y")], 1002),
        ([frame(PING, b"x" * 126)], 1002),
        ([frame(PING, b"x", fin=False)], 1002),
        ([frame(CLOSE, b"\x00")], 1002),
        ([frame(TEXT, b"\xff\xfe")], 1007),
        ([frame(TEXT, b"\xe2", fin=False), frame(CONT, b"\x28\xa1")], 1007),
        ([frame(BINARY, bytes(MAX_BYTES + 1))], 1009),
        ([frame(BINARY, bytes(MAX_BYTES), fin=False), frame(CONT, b"x")], 1009),
        ([frame(BINARY, bytes(MAX_BYTES // 2 + 1), fin=False)] * 1 + [frame(CONT, bytes(MAX_BYTES // 2))], 1009),
    ],
)
def test_a_broken_rule_is_told_by_its_code(play: Play, frames: list[bytes], code: int) -> None:
    async def scenario() -> None:
        app = Deaf()
        async with wired(app) as wire, opened(wire.port) as raw:
            raw.says(*frames)
            assert await raw.hears_close() == code
            assert await raw.rest() == b""
            assert await app.ended() == code

    play(scenario)


def test_a_text_in_two_halves_of_a_letter_is_text(play: Play) -> None:
    async def scenario() -> None:
        async with wired(Echo()) as wire, opened(wire.port) as raw:
            raw.says(frame(TEXT, b"\xe2", fin=False), frame(CONT, b"\x82", fin=False), frame(CONT, b"\xac"))
            assert await raw.hears() == (TEXT, "€".encode())

    play(scenario)


def test_a_huge_message_is_refused_by_its_header_and_its_sender_reads_why(play: Play) -> None:
    async def scenario() -> None:
        app = Deaf()
        async with wired(app) as wire, opened(wire.port) as raw:
            head, piece = frame(BINARY, bytes(200 * 2**20))[:14], bytes(2**20)
            raw.says(head)

            async def send() -> None:
                for _ in range(200):
                    raw.says(piece)
                    await raw.writer.drain()

            sending = asyncio.ensure_future(send())
            assert await raw.hears_close() == 1009
            await asyncio.wait_for(sending, WAIT_S)  # it is thrown away, not reset
            (connection,) = wire.made
            assert connection._arrived == b"" and connection._message == b""
            raw.writer.write_eof()
            assert await raw.rest() == b""

    play(scenario)


def test_a_client_is_read_one_message_ahead(play: Play) -> None:
    async def scenario() -> None:
        app = Deaf()
        async with wired(app) as wire, opened(wire.port) as raw:

            async def send() -> None:
                while True:
                    raw.says(frame(BINARY, bytes(MAX_BYTES)))
                    await raw.writer.drain()

            sending = asyncio.ensure_future(send())
            (connection,) = wire.made
            await until(lambda: connection.read_paused)
            await asyncio.sleep(0.1)
            assert connection.queue.qsize() == 1
            assert len(connection._arrived) < 2**19
            assert not sending.done()
            sending.cancel()

    play(scenario)


def test_pings_are_answered(play: Play) -> None:
    async def scenario() -> None:
        async with wired(Echo()) as wire, opened(wire.port) as raw:
            raw.says(frame(PING, b"a"), frame(PONG, b"never asked"), frame(BINARY, b"b"))
            assert [await raw.hears(), await raw.hears()] == [(PONG, b"a"), (BINARY, b"b")]

    play(scenario)


def test_who_floods_with_pings_and_does_not_read_is_aborted_in_bounded_memory(play: Play) -> None:
    async def scenario() -> None:
        app = Deaf()
        async with wired(app, send_timeout_s=0.3) as wire, opened(wire.port) as raw:
            raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
            (connection,) = wire.made
            flood = frame(PING, b"x" * 125) * 1000
            largest = 0

            async def send() -> None:
                nonlocal largest
                while True:
                    raw.says(flood)
                    await raw.writer.drain()
                    largest = max(largest, len(connection._arrived), connection.queue.qsize())

            sending = asyncio.ensure_future(send())
            assert await app.ended() == 1008
            await asyncio.gather(sending, return_exceptions=True)
            assert largest <= 2**18

    play(scenario)


def test_who_does_not_read_what_is_sent_is_aborted(play: Play) -> None:
    ended: list[type[BaseException]] = []

    async def talk(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(100_000)})
        except OSError as error:
            ended.append(type(error))
            assert connection_of(scope).close_code == 1008

    async def scenario() -> None:
        async with wired(talk, send_timeout_s=0.2) as wire, opened(wire.port) as raw:
            raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await until(lambda: ended and not wire.state.tasks)
            assert wire.made[0].close_code == 1008

    play(scenario)


def test_who_reads_slowly_is_served(play: Play) -> None:
    async def talk(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(100):
            await send({"type": "websocket.send", "bytes": bytes(100_000)})
        await send({"type": "websocket.close"})

    async def scenario() -> None:
        async with wired(talk, send_timeout_s=5.0) as wire, opened(wire.port) as raw:
            for _ in range(100):
                await asyncio.sleep(0.001)
                assert await raw.hears() == (BINARY, bytes(100_000))
            assert await raw.hears_close() == 1000

    play(scenario)


def test_a_half_open_connection_is_ended_by_its_silence(play: Play) -> None:
    async def scenario() -> None:
        app = Deaf()
        async with wired(app, ping_s=0.1) as wire, opened(wire.port) as raw:
            assert (await raw.hears())[0] == PING
            assert await raw.hears_close() == 1011
            assert await app.ended() == 1011

    play(scenario)


@pytest.mark.parametrize("what", ["pongs", "messages"])
def test_whoever_answers_or_sends_is_alive(play: Play, what: str) -> None:
    async def scenario() -> None:
        app = Echo()
        async with wired(app, ping_s=0.1) as wire, opened(wire.port) as raw:
            pings = 0
            while pings < 6:
                opcode, payload = await raw.hears()
                if opcode == PING:
                    pings += 1
                    raw.says(frame(PONG, payload) if what == "pongs" else frame(BINARY, b"x"))
                else:
                    await asyncio.sleep(0.02)
                    raw.says(frame(BINARY, b"x"))
                if what == "messages" and len(app.heard) > 40:
                    break
            assert app.ended == []

    play(scenario)


def test_whom_we_do_not_read_is_not_blamed_for_silence(play: Play) -> None:
    async def scenario() -> None:
        app = Deaf()
        async with wired(app, ping_s=0.05) as wire, opened(wire.port) as raw:
            raw.says(frame(BINARY, b"x"))
            await asyncio.sleep(0.4)
            assert app.lost.empty()
            assert wire.made[0].read_paused

    play(scenario)


@pytest.mark.parametrize("last", [b"", frame(BINARY, bytes(1000))[:500], b"\x82"])
def test_a_client_that_vanishes_is_noticed_though_nobody_receives(play: Play, last: bytes) -> None:
    async def scenario() -> None:
        app = Deaf()
        async with wired(app) as wire, opened(wire.port) as raw:
            raw.says(last)
            await raw.writer.drain()
            raw.writer.write_eof()
            assert await app.ended() == 1006

    play(scenario)


def test_a_close_is_answered_and_told(play: Play) -> None:
    async def scenario() -> None:
        app, silent = Echo(), Deaf()
        async with wired(app) as wire, opened(wire.port) as raw:
            raw.says(frame(CLOSE, (4000).to_bytes(2)))
            assert await raw.hears_close() == 4000
            assert await raw.rest() == b""
        assert app.ended == [4000]
        async with wired(silent) as wire, opened(wire.port) as raw:
            raw.says(frame(CLOSE))
            assert await raw.hears() == (CLOSE, b"")
            assert await silent.ended() == 1005

    play(scenario)


def test_shutting_down_tells_1001_and_waits_for_nobody_who_does_not_read(play: Play) -> None:
    async def flood(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while scope["path"] == "/flood":
                await send({"type": "websocket.send", "bytes": bytes(50_000)})
            await connection_of(scope).lost.wait()
        except OSError:
            return

    async def scenario() -> None:
        async with wired(flood) as wire, opened(wire.port) as good, opened(wire.port, "/flood") as stuck:
            stuck.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await until(lambda: len(wire.made) == 2 and not wire.made[1].writable.is_set())
            for connection in wire.made:
                connection.shutdown()
            assert await good.hears_close() == 1001
            await until(lambda: not wire.state.connections and not wire.state.tasks)
            assert {connection.close_code for connection in wire.made} == {1001}

    play(scenario)


def test_a_close_that_is_never_answered_ends_all_the_same(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.ws_protocol.CLOSE_TIMEOUT_S", 0.1)

    async def bye(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1000, "reason": "enough"})

    async def scenario() -> None:
        async with wired(bye) as wire, opened(wire.port) as raw:
            assert await raw.hears_close() == 1000
            raw.says(frame(BINARY, b"still talking"))
            assert await raw.rest() == b""

    play(scenario)


# Handshakes.


async def refused(port: int, head: bytes) -> tuple[str, bytes]:
    """(head, body) of the response to something that is no handshake; the connection ends."""
    async with connected(port) as raw:
        raw.says(head)
        return await raw.head(), await raw.rest()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (handshake().replace(b"Sec-WebSocket-Key", b"Other"), 400),
        (handshake().replace(b"Version: 13", b"Version: 8"), 400),
        (handshake().replace(b"AAAA", b"!!!!"), 400),
        (handshake("/", "Sec-WebSocket-Key: " + "A" * 22 + "=="), 400),
        (handshake("/", *(f"X-{number}: 1" for number in range(300))), 431),
        (handshake("/" + "x" * 20_000), 414),
        (handshake("/", "X-Long: " + "x" * 20_000), 431),
        (handshake("/", "Sec-WebSocket-Protocol: a b"), 400),
    ],
    ids=["no key", "version", "bad key", "two keys", "headers", "path", "long header", "subprotocol"],
)
def test_a_handshake_that_is_none_is_refused_in_our_form(play: Play, head: bytes, status: int) -> None:
    async def scenario() -> None:
        app = Deaf()
        async with wired(app) as wire:
            response, body = await refused(wire.port, head)
            assert response.startswith(f"HTTP/1.1 {status} ")
            assert b'{"error":{"code":"invalid_request","message":"' in body
            assert "application/json" in response
            assert app.lost.empty()

    play(scenario)


@pytest.mark.parametrize(
    "head",
    [
        handshake(method="POST", version="1.1").replace(b"Host: x", b"Host: x\r\nContent-Length: 0"),
        handshake(version="1.0"),
        handshake().replace(b"Upgrade: websocket", b"Upgrade: tls"),
        handshake().replace(b"Connection: Upgrade", b"Connection: close"),
        handshake().replace(b"Upgrade: websocket", b"Upgrade: h2c"),
    ],
    ids=["post", "http 1.0", "tls", "no upgrade", "h2c"],
)
def test_what_cannot_become_a_websocket_is_an_ordinary_request(play: Play, head: bytes) -> None:
    async def scenario() -> None:
        async with wired(Echo()) as wire, connected(wire.port) as raw:
            raw.says(head)
            assert (await raw.head()).startswith("HTTP/1.1 200 ")
            assert await asyncio.wait_for(raw.reader.readexactly(2), WAIT_S) == b"ok"
            assert wire.made == []

    play(scenario)


def test_a_handshake_behind_an_unanswered_request_is_refused(play: Play) -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(WAIT_S)

    async def scenario() -> None:
        async with wired(slow) as wire, connected(wire.port) as raw:
            raw.says(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await until(lambda: wire.state.tasks)
            raw.says(handshake())
            assert (await raw.head()).startswith("HTTP/1.1 400 ")
            for task in wire.state.tasks:
                task.cancel()

    play(scenario)


def test_requests_may_come_before_the_handshake(play: Play) -> None:
    async def scenario() -> None:
        async with wired(Echo()) as wire, connected(wire.port) as raw:
            raw.says(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await raw.head()).startswith("HTTP/1.1 200 ")
            assert await raw.reader.readexactly(2) == b"ok"
            raw.says(handshake())
            assert (await raw.head()).startswith("HTTP/1.1 101 ")
            raw.says(frame(BINARY, b"x"))
            assert await raw.hears() == (BINARY, b"x")

    play(scenario)


def test_a_client_that_does_not_wait_for_the_answer_loses_nothing(play: Play) -> None:
    async def scenario() -> None:
        async with wired(Echo()) as wire, connected(wire.port) as raw:
            raw.says(handshake(), frame(BINARY, b"first"), frame(BINARY, bytes(300_000))[:1000])
            assert (await raw.head()).startswith("HTTP/1.1 101 ")
            assert await raw.hears() == (BINARY, b"first")
            raw.says(frame(BINARY, bytes(300_000))[1000:])
            assert await raw.hears() == (BINARY, bytes(300_000))

    play(scenario)


def test_the_head_s_clock_stops_at_the_upgrade(play: Play) -> None:
    class Hurried(HttpProtocol):
        head_timeout_s = 0.3

    async def scenario() -> None:
        async with wired(Echo(), http=Hurried) as wire, connected(wire.port) as raw:
            for byte in handshake():
                raw.says(bytes([byte]))
                await asyncio.sleep(0)
            assert (await raw.head()).startswith("HTTP/1.1 101 ")
            await asyncio.sleep(0.5)
            raw.says(frame(BINARY, b"still here"))
            assert await raw.hears() == (BINARY, b"still here")

    play(scenario)


def test_a_refusal_reaches_the_client_and_not_the_log(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 403, "headers": [(b"x-why", b"because")]})
        await send({"type": "websocket.http.response.body", "body": b"no"})

    async def scenario() -> None:
        async with wired(refuse) as wire:
            head, body = await refused(wire.port, handshake("/?key=secret"))
            assert head.startswith("HTTP/1.1 403 ") and "because" in head
            assert body == b"no"

    with caplog.at_level(logging.WARNING):
        play(scenario)
    assert caplog.records == []


def test_a_client_that_leaves_during_the_handshake_is_no_fault(play: Play) -> None:
    seen: list[str] = []

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await connection_of(scope).lost.wait()
        try:
            await send({"type": "websocket.accept"})
        except OSError:
            seen.append("gone")

    async def scenario() -> None:
        async with wired(slow) as wire:
            async with connected(wire.port) as raw:
                raw.says(handshake())
                await until(lambda: wire.made)
            await until(lambda: seen)

    play(scenario)
    assert seen == ["gone"]


def test_a_connection_without_a_raw_end_is_never_seen_to_be_lost() -> None:
    connection = connection_of({"type": "websocket"})
    assert not connection.lost.is_set()
    connection.abort()
    assert connection.lost.is_set()
    assert isinstance(Raw, type)


def test_who_reads_more_slowly_than_the_timeout_but_reads_is_served(play: Play) -> None:
    async def talk(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": bytes(8 * MAX_BYTES)})
        await send({"type": "websocket.close"})

    async def scenario() -> None:
        async with wired(talk, send_timeout_s=0.2) as wire, opened(wire.port) as raw:
            raw.reader._limit = 2**14  # type: ignore[attr-defined]  # what asyncio takes ahead of its reader
            left = 8 * MAX_BYTES + 10
            while left:
                await asyncio.sleep(0.03)
                left -= len(await raw.reader.read(min(left, 2**17)))
            assert await raw.hears_close() == 1000
            assert wire.made[0].close_code != 1008

    play(scenario)
