"""A hot route's short cut to the connection: the same bodies, responses and departures as through ASGI."""

import asyncio
import gc
import weakref

import pytest

from server.exchange import Receive, RequestIds, Scope, Send, open_exchange
from server.peer import PEER
from tests.server.test_http_protocol import LOOPS, WAIT_S, MakeLoop, listening, post, response, run

LENGTH = len(b"12345")


async def shout(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the body in capitals: by the short cut where it is open, else through ASGI; says which."""
    exchange = open_exchange(scope, receive, send, RequestIds())
    assert exchange.peer is not None
    body = exchange.peer.whole_body()
    way = b"peer" if body is not None else b"asgi"
    while body is None:
        message = await receive()
        if not message.get("more_body"):
            body = message["body"]
    await exchange.reply(200, way + body.upper())


@pytest.mark.parametrize("make_loop", LOOPS)
def test_whole_bodies_are_taken_and_answered_in_order_on_one_connection(make_loop: MakeLoop) -> None:
    async def scenario() -> None:
        async with listening(shout) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"".join(post("/", b"a%d" % number) for number in range(30)))
            for number in range(30):
                assert await response(reader) == (b"HTTP/1.1 200 OK", b"peerA%d" % number)
            writer.close()

    run(make_loop, scenario)


@pytest.mark.parametrize("make_loop", LOOPS)
def test_a_body_that_still_comes_is_read_through_asgi(make_loop: MakeLoop) -> None:
    async def scenario() -> None:
        started = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            assert scope["extensions"][PEER].whole_body() is None
            started.set()
            await shout(scope, receive, send)

        async with listening(app) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            request = post("/", b"later")
            writer.write(request[:-LENGTH])
            await asyncio.wait_for(started.wait(), WAIT_S)
            writer.write(request[-LENGTH:])
            assert (await response(reader))[1] == b"asgiLATER"
            writer.close()

    run(make_loop, scenario)


@pytest.mark.parametrize("make_loop", LOOPS)
def test_the_body_is_given_once_and_then_receive_waits_for_the_departure(make_loop: MakeLoop) -> None:
    async def scenario() -> None:
        heard: asyncio.Future[list[object]] = asyncio.get_running_loop().create_future()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            peer = scope["extensions"][PEER]
            heard.set_result([peer.whole_body(), peer.whole_body(), (await receive())["type"]])

        async with listening(app) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(post("/", b"once"))
            await writer.drain()
            await asyncio.sleep(0.05)
            assert not heard.done()
            writer.close()
            assert await asyncio.wait_for(heard, WAIT_S) == [b"once", None, "http.disconnect"]

    run(make_loop, scenario)


@pytest.mark.parametrize("make_loop", LOOPS)
def test_who_leaves_before_the_response_is_noticed_at_once_and_even_when_asked_too_late(make_loop: MakeLoop) -> None:
    async def scenario() -> None:
        waiting, left, late = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            peer = scope["extensions"][PEER]
            peer.watch(left.set)
            waiting.set()
            await left.wait()
            peer.watch(late.set)

        async with listening(app) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(post("/", b"x"))
            await asyncio.wait_for(waiting.wait(), WAIT_S)
            assert not left.is_set()
            writer.close()
            await asyncio.wait_for(late.wait(), WAIT_S)

    run(make_loop, scenario)


@pytest.mark.parametrize("make_loop", LOOPS)
def test_who_leaves_after_the_response_has_not_left_early(make_loop: MakeLoop) -> None:
    async def scenario() -> None:
        left: list[str] = []
        gone = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"][PEER].watch(lambda: left.append(scope["path"]))
            await shout(scope, receive, send)
            assert (await receive())["type"] == "http.disconnect"
            gone.set()

        async with listening(app) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(post("/", b"x"))
            assert (await response(reader))[1] == b"peerX"
            writer.close()
            await asyncio.wait_for(gone.wait(), WAIT_S)
            await asyncio.sleep(0.05)
        assert left == []

    run(make_loop, scenario)


@pytest.mark.parametrize("make_loop", LOOPS)
def test_a_client_that_wants_the_connection_closed_gets_that(make_loop: MakeLoop) -> None:
    async def scenario() -> None:
        async with listening(shout) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(post("/", b"bye").replace(b"Host: x", b"Host: x\r\nConnection: close"))
            raw = await asyncio.wait_for(reader.read(), WAIT_S)
            assert b"\r\nconnection: close\r\n" in raw
            assert raw.endswith(b"\r\n\r\npeerBYE")
            writer.close()

    run(make_loop, scenario)


@pytest.mark.parametrize("make_loop", LOOPS)
def test_after_the_response_nothing_keeps_the_picture_until_the_next_garbage_collection(make_loop: MakeLoop) -> None:
    class Picture:
        """Stands for bytes, which take no weak references."""

    async def scenario() -> None:
        pictures: list[weakref.ref[Picture]] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            picture = Picture()
            pictures.append(weakref.ref(picture))
            scope["extensions"][PEER].watch(lambda: print(picture))
            await shout(scope, receive, send)

        async with listening(app) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(3):
                writer.write(post("/", b"x"))
                assert (await response(reader))[1] == b"peerX"
            await asyncio.sleep(0.05)
            assert [picture() for picture in pictures] == [None, None, None]
            writer.close()

    gc.disable()
    try:
        run(make_loop, scenario)
    finally:
        gc.enable()
