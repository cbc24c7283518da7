"""What one request costs the client: ours, httpx, and aiohttp where it is installed.

A trivial server runs in a process of its own; one connection, one request of
``--bytes`` after another, interleaved rounds, the client's own CPU time.
"""

import argparse
import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from importlib import import_module
from multiprocessing.connection import Connection as Pipe

import httptools
import httpx
import uvloop

from benchmarks.machine import add_json_flag, publish
from server.load.client import Client, Target

REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 300\r\n\r\n" + b" " * 300
Send = Callable[[], Awaitable[object]]


class Echo(asyncio.Protocol):
    """Answers every whole request with the same 300 bytes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._transport.write(REPLY)  # type: ignore[attr-defined]


def serve(pipe: Pipe) -> None:
    """Run the trivial server until ended; tells its port first."""

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(run())


async def measure(port: int, body: bytes, requests: int, rounds: int) -> dict[str, list[float]]:
    """Microseconds of CPU per request, one figure per round and client."""
    url = f"http://127.0.0.1:{port}/v1/predict"
    target = Target("127.0.0.1", port, "/v1/predict")
    async with AsyncExitStack() as stack:
        ours = Client(target, timeout_s=5)
        stack.push_async_callback(ours.close)
        whole = target.request(body)
        other = await stack.enter_async_context(httpx.AsyncClient())
        clients: dict[str, Send] = {
            "quickeye": lambda: ours.ask(whole),
            "httpx": lambda: other.post(url, content=body),
        }
        try:
            session = await stack.enter_async_context(import_module("aiohttp").ClientSession())
        except ModuleNotFoundError:
            pass
        else:

            async def with_aiohttp() -> None:
                async with session.post(url, data=body) as response:
                    await response.read()

            clients["aiohttp"] = with_aiohttp
        found: dict[str, list[float]] = {name: [] for name in clients}
        for _ in range(rounds):
            for name, send in clients.items():
                await send()
                before = time.process_time()
                for _ in range(requests):
                    await send()
                found[name].append((time.process_time() - before) / requests * 1e6)
        return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=2000)
    parser.add_argument("--requests", type=int, default=1000, help="per round and client")
    parser.add_argument("--rounds", type=int, default=7)
    add_json_flag(parser)
    flags = parser.parse_args()
    near, far = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(far,), daemon=True)
    process.start()
    try:
        port: int = near.recv()
        found = uvloop.run(measure(port, b"x" * flags.bytes, flags.requests, flags.rounds))
    finally:
        process.terminate()
        process.join()
    medians = {name: round(statistics.median(values), 1) for name, values in found.items()}
    lines = [f"client CPU per request, {flags.bytes} B body, median of {flags.rounds} × {flags.requests}:"]
    lines += [
        f"  {name:<10}{median:8.1f} µs   (from {min(found[name]):.1f} to {max(found[name]):.1f})"
        for name, median in medians.items()
    ]
    result = {"body_bytes": flags.bytes, "requests": flags.requests, "rounds": flags.rounds, "median_us": medians}
    publish({**result, "all_us": found}, lines, as_json=flags.json)


if __name__ == "__main__":
    main()
