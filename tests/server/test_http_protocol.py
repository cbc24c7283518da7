"""The wire below the application: responses gathered, order kept, heads bounded."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvicorn
import uvloop
from uvicorn.server import ServerState

from server.exchange import Message, Receive, Scope, Send
from server.gathering_transport import GatheringTransport
from server.http_protocol import MAX_HEAD_BYTES, HttpProtocol

App = Callable[[Scope, Receive, Send], Awaitable[None]]
MakeLoop = Callable[[], asyncio.AbstractEventLoop]
LOOPS: list[MakeLoop] = [asyncio.new_event_loop, uvloop.new_event_loop]
WAIT_S = 20.0


class RecordingTransport(asyncio.Transport):
    """Notes what reaches the socket."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[bytes | str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.calls.append(bytes(data))

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")

    def is_closing(self) -> bool:
        return "close" in self.calls or "abort" in self.calls


def gathered(actions: Callable[[GatheringTransport], None]) -> list[bytes | str]:
    """What reaches the socket when these things are done in one turn of the loop."""

    async def turn() -> list[bytes | str]:
        below = RecordingTransport()
        actions(GatheringTransport(below, asyncio.get_running_loop()))
        await asyncio.sleep(0)
        return below.calls

    return asyncio.run(turn())


def test_what_is_written_in_one_turn_leaves_together_in_order() -> None:
    def actions(transport: GatheringTransport) -> None:
        for piece in (b"head ", bytearray(b"body "), memoryview(b"end")):
            transport.write(piece)

    assert gathered(actions) == [b"head body end"]


def test_the_next_turn_is_another_write() -> None:
    async def turns() -> list[bytes | str]:
        below = RecordingTransport()
        transport = GatheringTransport(below, asyncio.get_running_loop())
        for piece in (b"one", b"two"):
            transport.write(piece)
            await asyncio.sleep(0)
        return below.calls

    assert asyncio.run(turns()) == [b"one", b"two"]


def test_what_is_whole_leaves_at_once_but_never_before_what_waits() -> None:
    def actions(transport: GatheringTransport) -> None:
        transport.write_whole(b"one")
        transport.write(b"two ")
        transport.write_whole(b"three")

    assert gathered(actions) == [b"one", b"two three"]


def test_nothing_whole_is_written_to_who_has_left() -> None:
    def actions(transport: GatheringTransport) -> None:
        transport.close()
        transport.write_whole(b"one")

    assert gathered(actions) == ["close"]


def test_closing_sends_what_waits_first() -> None:
    def actions(transport: GatheringTransport) -> None:
        transport.write(b"a")
        transport.write(b"b")
        transport.close()
        assert transport.is_closing()

    assert gathered(actions) == [b"ab", "close"]


def test_aborting_loses_what_waits() -> None:
    def actions(transport: GatheringTransport) -> None:
        transport.write(b"a")
        transport.abort()

    assert gathered(actions) == ["abort"]


@contextlib.asynccontextmanager
async def listening(app: App, protocol: type[HttpProtocol] = HttpProtocol) -> AsyncIterator[int]:
    """An application behind the protocol; gives the port."""
    config = uvicorn.Config(app, http=protocol, lifespan="off", log_config=None, server_header=False)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    made: Callable[[], HttpProtocol] = lambda: protocol(config=config, server_state=state, app_state={})  # noqa: E731
    server = await loop.create_server(made, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the path and the body."""
    body = b""
    while True:
        message: Message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    reply = scope["path"].encode() + b"|" + body
    length = (b"content-length", str(len(reply)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    half = len(reply) // 2
    await send({"type": "http.response.body", "body": reply[:half], "more_body": True})
    await send({"type": "http.response.body", "body": reply[half:]})


async def response(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """(status line, body) of the next response."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_S)
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head.partition(b"\r\n")[0], await asyncio.wait_for(reader.readexactly(length), WAIT_S)


def post(path: str, body: bytes) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def run(make_loop: MakeLoop, scenario: Callable[[], Any]) -> None:
    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(asyncio.wait_for(scenario(), 3 * WAIT_S))


@pytest.mark.parametrize("make_loop", LOOPS)
def test_pipelined_requests_are_answered_in_order(make_loop: MakeLoop) -> None:
    async def scenario() -> None:
        async with listening(echo) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"".join(post(f"/{number}", b"x" * number) for number in range(50)))
            for number in range(50):
                assert await response(reader) == (b"HTTP/1.1 200 OK", f"/{number}|".encode() + b"x" * number)
            writer.close()

    run(make_loop, scenario)


@pytest.mark.parametrize("make_loop", LOOPS)
def test_big_bodies_come_back_whole(make_loop: MakeLoop) -> None:
    body = bytes(range(256)) * 20_000

    async def scenario() -> None:
        async with listening(echo) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
            for _ in range(2):
                writer.write(post("/", body))
                assert (await response(reader))[1] == b"/|" + body
            writer.close()

    run(make_loop, scenario)


@pytest.mark.parametrize("make_loop", LOOPS)
def test_a_client_that_resets_the_connection_leaves_no_error(
    make_loop: MakeLoop,
) -> None:
    """uvloop refuses to write to a closed transport; what was gathered for it is dropped."""
    faults: list[dict[str, Any]] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: faults.append(context))
        connected: asyncio.Future[asyncio.Transport] = loop.create_future()

        class Accept(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                connected.set_result(transport)  # type: ignore[arg-type]

            def connection_lost(self, exc: Exception | None) -> None:
                lost.set_result(None)

        lost: asyncio.Future[None] = loop.create_future()
        server = await loop.create_server(Accept, "127.0.0.1", 0)
        client = socket.create_connection(server.sockets[0].getsockname())
        gathering = GatheringTransport(await asyncio.wait_for(connected, WAIT_S), loop)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        await asyncio.wait_for(lost, WAIT_S)
        gathering.write(b"too late")
        await asyncio.sleep(0)
        server.close()

    run(make_loop, scenario)
    assert faults == []


def test_a_head_without_end_is_refused() -> None:
    async def scenario() -> None:
        async with listening(echo) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nX-Long: ")
            for _ in range(MAX_HEAD_BYTES // 1024):
                await asyncio.sleep(0.001)  # so that the server reads piece by piece
                writer.write(b"x" * 1024)
            await asyncio.sleep(0.001)
            writer.write(b"x")
            reply = await asyncio.wait_for(reader.read(), WAIT_S)
            assert reply.startswith(b"HTTP/1.1 400 ")
            assert f"{MAX_HEAD_BYTES:,}".encode() in reply
            writer.close()

    asyncio.run(scenario())


def test_a_long_body_does_not_count_as_the_next_head() -> None:
    """The end of one request and the beginning of the next arrive in one piece."""

    async def scenario() -> None:
        async with listening(echo) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
            body, following = b"x" * (3 * MAX_HEAD_BYTES), post("/next", b"abc")
            writer.write(post("/long", body) + following[:20])
            assert (await response(reader))[1] == b"/long|" + body
            writer.write(following[20:])
            assert (await response(reader))[1] == b"/next|abc"
            writer.close()

    asyncio.run(scenario())


class Impatient(HttpProtocol):
    """Waits for a head as good as not at all."""

    head_timeout_s = 0.02


@pytest.mark.parametrize("beginning", [b"", b"GET / HTTP/1.1\r\nX-Slow: y"])
def test_a_head_that_does_not_come_ends_the_connection(beginning: bytes) -> None:
    async def scenario() -> None:
        async with listening(echo, Impatient) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(beginning)
            assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
            writer.close()

    asyncio.run(scenario())


def test_only_the_head_is_hurried() -> None:
    """A body may take its time (the application has its own deadline), and so may the next request."""

    async def scenario() -> None:
        async with listening(echo, Impatient) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            whole = post("/slow", b"body")
            for _ in range(2):
                writer.write(whole[:-2])
                await asyncio.sleep(5 * Impatient.head_timeout_s)
                writer.write(whole[-2:])
                assert (await response(reader))[1] == b"/slow|body"
                await asyncio.sleep(5 * Impatient.head_timeout_s)
            writer.close()

    asyncio.run(scenario())


def test_a_head_in_pieces_is_read_whole() -> None:
    async def scenario() -> None:
        async with listening(echo) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for byte in post("/pieces", b"abc"):
                writer.write(bytes([byte]))
                await asyncio.sleep(0)
            assert (await response(reader))[1] == b"/pieces|abc"
            writer.close()

    asyncio.run(scenario())
