"""Streams at the end of the server: served through the grace, answered, told, closed; nobody delays the exit."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest

from tests.server.posting import RED
from tests.server.raw_socket import BINARY, frame, handshake, until
from tests.server.running import Running, serving
from tests.server.streams.fakes import numbered
from tests.server.streams.talking import best, closed, hear, refused, stream

SLOW = ["--backend", "fake", "--backend-option", "fake.delay_ms=400", "--instances", "1", "--max-batch-size", "1"]
EXIT_S = 20.0


def slow_server(store: Path, *more: str) -> list[str]:
    return ["--store", str(store), *SLOW, "--log-format", "json", *more]


async def exit_code(server: Running) -> int:
    return await asyncio.to_thread(server.process.wait, EXIT_S)


def test_streams_go_on_through_the_grace_while_new_ones_are_refused(colour_store: Path, tmp_path: Path) -> None:
    async def scenario(server: Running) -> None:
        async with stream(server.url) as mine:
            server.terminate()
            with server.client() as client:
                await until(lambda: client.get("/readyz").status_code == 503)
            status, headers, body = await refused(server.url)
            assert (status, body["error"]["code"]) == (503, "draining")
            assert int(headers["retry-after"]) >= 1
            await mine.send(RED)
            assert (await hear(mine))["type"] == "result"
            heard, code = await closed(mine)
            assert ([event["type"] for event in heard], code) == (["stats"], 1001)
            assert heard[0]["results"] == 1
        assert await exit_code(server) == 0

    with serving(tmp_path, *slow_server(colour_store), grace_s=2.0) as server:
        asyncio.run(scenario(server))


def test_frames_in_flight_are_answered_before_the_close(colour_store: Path, tmp_path: Path) -> None:
    async def scenario(server: Running) -> None:
        async with stream(server.url, "?policy=all") as mine:
            for seq in range(1, 4):
                await mine.send(numbered(seq, RED))
            await hear(mine)
            server.terminate()
            heard, code = await closed(mine)
            assert [event.get("seq") for event in heard] == [2, 3, None]
            assert [event["type"] for event in heard] == ["result", "result", "stats"]
            assert code == 1001
        assert await exit_code(server) == 0

    with serving(tmp_path, *slow_server(colour_store)) as server:
        asyncio.run(scenario(server))


def test_who_sends_without_a_pause_still_hears_the_end(colour_store: Path, tmp_path: Path) -> None:
    async def scenario(server: Running) -> None:
        async with stream(server.url) as mine:

            async def send() -> None:
                seq = 0
                with contextlib.suppress(Exception):
                    while True:
                        seq += 1
                        await mine.send(numbered(seq, RED + bytes(100_000)))

            sending = asyncio.create_task(send())
            await hear(mine)
            server.terminate()
            heard, code = await closed(mine)
            assert (heard[-1]["type"], code) == ("stats", 1001)
            told = heard[-1]
            assert told["frames"] == told["results"] + sum(told["dropped"].values()) + told["errors"]
            await sending
        assert await exit_code(server) == 0

    with serving(tmp_path, *slow_server(colour_store)) as server:
        asyncio.run(scenario(server))


def test_what_outlasts_the_drain_is_told_so(colour_store: Path, tmp_path: Path) -> None:
    async def scenario(server: Running) -> None:
        async with stream(server.url, "?policy=all") as mine:
            for seq in range(1, 5):
                await mine.send(numbered(seq, RED))
            await hear(mine)
            server.terminate()
            heard, code = await closed(mine)
            assert code == 1001
            assert heard[-1]["type"] == "stats"
            assert {event.get("code") for event in heard if event["type"] == "error"} == {"draining"}
            assert sorted(event["seq"] for event in heard[:-1]) == [2, 3, 4]
        assert await exit_code(server) == 1

    with serving(tmp_path, *slow_server(colour_store, "--drain-timeout-s", "0.1")) as server:
        asyncio.run(scenario(server))


@pytest.mark.parametrize("sends", [0, 2000])
def test_a_client_that_is_stuck_does_not_delay_the_exit(colour_store: Path, tmp_path: Path, sends: int) -> None:
    patient = ["--drain-timeout-s", "3600", "--stream-send-timeout-s", "3600", "--max-frame-age-ms", "60000"]

    async def scenario(server: Running) -> None:
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stuck = stack.enter_context(socket.socket())
                stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                stuck.connect(("127.0.0.1", server.port))
                stuck.sendall(handshake("/v1/stream"))
                stuck.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    stuck.sendall(frame(BINARY, b"no picture") * sends)
            async with stream(server.url) as mine:
                await mine.send(RED)
                assert (await hear(mine))["type"] == "result"
                server.terminate()
                assert (await closed(mine))[1] == 1001
            assert await exit_code(server) == 0

    with serving(tmp_path, *slow_server(colour_store, *patient)) as server:
        asyncio.run(scenario(server))
    assert "Traceback" not in server.lines()


def test_a_fast_answer_reaches_its_client_even_without_grace(colour_store: Path, tmp_path: Path) -> None:
    async def scenario(server: Running) -> None:
        async with stream(server.url) as mine:
            await mine.send(RED)
            assert best(await hear(mine)) == "red"
            server.terminate()
            heard, code = await closed(mine)
            assert (heard[-1]["type"], code) == ("stats", 1001)
        assert await exit_code(server) == 0

    with serving(tmp_path, "--store", str(colour_store), "--backend", "onnxruntime") as server:
        asyncio.run(scenario(server))
