"""What tracing costs a request: CPU of the server per request with tracing off, at a ratio of 0.01, and at 1.

Three servers with the fake backend answer the same small picture, in turn; the spans go to a collector in this process
that reads and forgets them, so that its own work is not counted. The CPU is that of the server's process, all threads,
exporting included.
"""

import argparse
import contextlib
import os
import statistics
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.loads import run, small_jpeg
from benchmarks.machine import add_json_flag, publish
from benchmarks.served import Served
from benchmarks.server_overhead import server_us
from server.load.run import ClosedLoop, LoadPlan
from tests.server.mean_colour import write_mean_colour

PLANS: dict[str, tuple[str, ...]] = {
    "off": (),
    "ratio 0.01": ("--tracing", "--trace-ratio", "0.01"),
    "ratio 1": ("--tracing", "--trace-ratio", "1"),
}


@contextlib.contextmanager
def collector() -> Iterator[str]:
    """The address of something that takes OTLP and forgets it."""

    class Forgetful(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Forgetful) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def make_parser() -> argparse.ArgumentParser:
    """The program's flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5.0, help="per server and round")
    parser.add_argument("--rounds", type=int, default=7)
    add_json_flag(parser)
    return parser


def measure(flags: argparse.Namespace, store: str) -> dict[str, list[float]]:
    """CPU per request in microseconds, by plan, a value for each round."""
    picture, found = small_jpeg(2000), defaultdict[str, list[float]](list)
    with ExitStack() as stack:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = stack.enter_context(collector())
        common = ("--store", store, "--backend", "fake", "--no-access-log", "--drain-grace-s", "0")
        servers = {name: stack.enter_context(Served(*common, *own)) for name, own in PLANS.items()}
        for served in servers.values():
            run(served, [picture], LoadPlan(ClosedLoop(flags.connections), 1.0))
        for _ in range(flags.rounds):
            for name, served in servers.items():
                found[name].append(server_us(served, picture, flags.connections, flags.seconds)[0])
    return found


def main() -> None:
    """Measure and print."""
    flags = make_parser().parse_args()
    with tempfile.TemporaryDirectory() as store:
        write_mean_colour(Path(store))
        found = measure(flags, store)
    lines = [
        f"server CPU per request, fake backend, {flags.connections} connections, "
        f"median of {flags.rounds} × {flags.seconds:g} s:"
    ]
    rows = []
    for name, costs in found.items():
        more = [cost / off for cost, off in zip(costs, found["off"], strict=True)]
        cost, ratio = statistics.median(costs), statistics.median(more)
        rows.append({"tracing": name, "cpu_us": cost, "to_off": ratio, "all_cpu_us": costs})
        spread = f"from {min(costs):.1f} to {max(costs):.1f}"
        lines.append(f"  {name:<10}  {cost:7.1f} µs  ({spread}), {ratio:.3f} times as much as off in the same round")
    publish({"connections": flags.connections, "rows": rows}, lines, as_json=flags.json)


if __name__ == "__main__":
    main()
