"""Clients that mean no good, or are simply broken, against a real server: bounded, dropped, and the others served."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import uvloop
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.server.fake_bundles import MeanColour
from tests.server.in_app import running_app
from tests.server.posting import GREEN, RED
from tests.server.raw_socket import BINARY, Raw, frame, handshake, opened, until, wired
from tests.server.running import Running, serving
from tests.server.streams.fakes import numbered
from tests.server.streams.talking import best, closed, hear, stream

MIB = 2**20
UNREAD = '"close":1008'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A thousand classes, so that answers are large; who does not read for a second is dropped."""
    folder = tmp_path_factory.mktemp("hostile")
    MeanColour(classes=1000).write(folder / "store")
    flags = ["--store", str(folder / "store"), "--backend", "onnxruntime", "--log-format", "json"]
    with serving(folder, *flags, "--stream-send-timeout-s", "1") as running:
        yield running


def memory(server: Running) -> int:
    """Bytes in the server's memory."""
    size: int = psutil.Process(server.process.pid).memory_info().rss
    return size


async def one_is_served(server: Running) -> None:
    """Somebody else's frame is answered."""
    async with stream(server.url, "?top_k=1") as other:
        await other.send(RED)
        assert (await hear(other))["type"] == "result"


def test_a_message_of_100_mb_is_refused_with_1009_and_costs_no_memory(server: Running) -> None:
    async def scenario() -> None:
        await one_is_served(server)
        before = memory(server)
        for _ in range(3):
            async with stream(server.url) as hostile:
                with contextlib.suppress(ConnectionClosed):
                    await hostile.send(bytes(100 * MIB))
                assert (await closed(hostile))[1] == 1009
        assert memory(server) - before < 40 * MIB
        await one_is_served(server)

    uvloop.run(scenario())  # asyncio's own transport of 3.11 stumbles over the abort of a lost connection


def test_100_mb_in_fragments_are_no_better(server: Running) -> None:
    async def scenario() -> None:
        before = memory(server)
        async with stream(server.url) as hostile:
            with contextlib.suppress(ConnectionClosed):
                await hostile.send([bytes(MIB)] * 100)
            assert (await closed(hostile))[1] == 1009
        assert memory(server) - before < 40 * MIB

    asyncio.run(scenario())


@pytest.mark.parametrize("policy", ["latest", "all"])
@pytest.mark.parametrize("padding", [0, 2**20])
def test_who_sends_and_never_reads_is_dropped_in_bounded_memory(server: Running, policy: str, padding: int) -> None:
    dropped = server.lines().count(UNREAD)

    async def scenario() -> None:
        async with stream(server.url, "?top_k=1000&policy=all") as warm:
            for seq in range(1, 50):
                await warm.send(numbered(seq, RED))
            for _ in range(1, 50):
                await hear(warm)
        before = memory(server)
        with contextlib.ExitStack() as stack:
            deaf = [await _deaf(server.port, f"/v1/stream?top_k=1000&policy={policy}", stack) for _ in range(5)]
            await asyncio.gather(
                *(_send_until_dropped(each, RED + bytes(padding)) for each in deaf), one_is_served(server)
            )
        assert memory(server) - before < 60 * MIB
        await until(lambda: not server.metric("quickeye_stream_sessions"))
        await until(lambda: server.lines().count(UNREAD) == dropped + 5)

    asyncio.run(scenario())
    assert '"level":"error"' not in server.lines()


async def _deaf(port: int, path: str, stack: contextlib.ExitStack) -> socket.socket:
    """A WebSocket that takes next to nothing from the kernel, and reads none of it."""
    sock = stack.enter_context(socket.socket())
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", port))
    await loop.sock_sendall(sock, handshake(path))
    return sock


async def _send_until_dropped(sock: socket.socket, picture: bytes) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(30.0):
        try:
            while True:
                await loop.sock_sendall(sock, frame(BINARY, picture) * 10)
                await asyncio.sleep(0.002)
        except ConnectionError:
            return


def test_500_clients_at_once_fill_the_places_and_the_others_are_told(server: Running) -> None:
    async def scenario() -> None:
        let_in, told = [], []
        full = asyncio.Event()

        async def client() -> None:
            try:
                async with stream(server.url, "?top_k=1") as mine:
                    await mine.send(RED)
                    let_in.append((await hear(mine))["type"])
                    await full.wait()
                    await mine.send(GREEN)
                    let_in.append((await hear(mine))["type"])
            except InvalidStatus as error:
                told.append(error.response.status_code)

        clients = [asyncio.create_task(client()) for _ in range(500)]
        await until(lambda: len(let_in) + len(told) == 500)
        assert server.metric("quickeye_stream_sessions") == 128
        full.set()
        await asyncio.gather(*clients)
        assert (let_in, told) == (["result"] * 256, [429] * 372)

    asyncio.run(scenario())
    assert '"level":"error"' not in server.lines()


def test_storms_of_reconnects_leave_nothing_behind(colour_store: Path) -> None:
    async def scenario() -> None:
        async with running_app(colour_store, backend="onnxruntime") as (app, client), wired(app) as wire:
            before = len(asyncio.all_tasks())
            for ending in ("abort", "close", "half", "frame", "handshake") * 2:
                await asyncio.gather(*(_come_and_go(wire.port, ending) for _ in range(60)))
            await until(lambda: not wire.state.connections and not wire.state.tasks)
            assert len(asyncio.all_tasks()) == before
            model = app.service.catalogue.find()
            await until(lambda: model.unanswered == 0)
            await until(lambda: model.batcher.counts() == (0, 0))  # who hung up is let go before his picture has run
            assert list(app.service.streams.gauges()) == []
            metrics = (await client.get("/metrics")).text
            names = {
                line.partition(" ")[0] for line in metrics.splitlines() if line.startswith("quickeye_stream_frames")
            }
            assert len(names) <= 6  # an outcome each, whoever came
            with app.service.streams.place():
                assert True

    asyncio.run(scenario())


async def _come_and_go(port: int, ending: str) -> None:
    async with opened(port, "/v1/stream?policy=all") as raw:
        if ending == "handshake":
            return
        raw.says(*(frame(BINARY, numbered(seq, RED)) for seq in range(1, 5)))
        if ending == "frame":
            raw.says(frame(BINARY, numbered(5, RED))[:30])
        await raw.writer.drain()
        if ending == "close":
            raw.says(frame(8))
            await raw.rest()
        elif ending == "half":
            raw.writer.write_eof()
            await raw.rest()


def test_frames_of_a_client_that_left_are_not_run(colour_store: Path) -> None:
    async def scenario() -> None:
        slow = {"backend": "fake", "backend_options": ("fake.delay_ms=300",), "max_batch_size": 1}
        async with running_app(colour_store, **slow) as (app, _), wired(app) as wire:
            model = app.service.catalogue.find()
            async with opened(wire.port, "/v1/stream?policy=all") as raw:
                raw.says(*(frame(BINARY, numbered(seq, RED)) for seq in range(1, 5)))
                await until(lambda: model.batcher.counts() == (3, 1))
            await until(lambda: model.batcher.counts() == (0, 0))
            answered = app.service.metrics.registry.get_sample_value(
                "quickeye_batch_size_sum", {"model": model.spec.name}
            )
            assert (answered or 0) <= 1

    asyncio.run(scenario())


def test_a_flood_of_tiny_messages_leaves_room_for_others(colour_store: Path) -> None:
    async def scenario() -> None:
        async with running_app(colour_store, backend="onnxruntime") as (app, _), wired(app) as wire:

            async def flood(raw: Raw) -> None:
                tiny = frame(BINARY, b"") * 10_000
                while True:
                    raw.says(tiny)
                    await raw.writer.drain()

            async def listen(raw: Raw) -> None:
                while True:
                    await raw.hears()

            async with opened(wire.port, "/v1/stream") as raw:
                noise = [asyncio.create_task(flood(raw)), asyncio.create_task(listen(raw))]
                async with stream(f"http://127.0.0.1:{wire.port}") as polite:
                    for _ in range(10):
                        await polite.send(RED)
                        assert best(await hear(polite)) == "red"
                for task in noise:
                    task.cancel()
                await asyncio.gather(*noise, return_exceptions=True)

    asyncio.run(scenario())
