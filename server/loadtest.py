"""``quickeye loadtest URL``: load a server and say honestly how it did.

It sends to the one URL given and to nothing else. How: ``load/run.py``; with
what client: ``load/client.py``; what is printed: ``load/report.py``.
"""

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import uvloop

from server.load.arrivals import ARRIVALS
from server.load.client import Client, Target
from server.load.report import LoadReport
from server.load.run import ClosedLoop, LoadPlan, LoadRun, OpenLoop
from server.number_flag import number, whole_number
from server.picture_files import picture_files

MAX_SECONDS = 3600.0
MAX_RATE = 100_000.0
MAX_CONNECTIONS = 10_000
MAX_PICTURE_BYTES = 512 * 2**20
DEFAULT_PATH = "/v1/predict"
CLIENT_GRACE_S = 1.0


def parse_target(url: str, query: dict[str, int]) -> Target:
    """Where a URL points; one without a path means ``/v1/predict``.

    Raises:
        ValueError: not an http URL of a host.
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"'{url}' is not an address to load: give http://HOST:PORT, with a path or without")
    if not url.isascii() or any(character.isspace() for character in url):
        raise ValueError(f"'{url}' has characters that a URL may not have: write them as %XX")
    path = parts.path if parts.path not in ("", "/") else DEFAULT_PATH
    words = "&".join(filter(None, (parts.query, urlencode(query))))
    return Target(parts.hostname, parts.port or 80, f"{path}?{words}" if words else path)


def read_pictures(path: Path) -> list[bytes]:
    """The bytes of every picture below a folder (or of one file), all kept in memory.

    Raises:
        OSError: unreadable, or absent.
        ValueError: there are none, or they do not fit.
    """
    files = picture_files(path, recursive=True)
    if not files:
        raise ValueError(f"no pictures in {path}: files with a name like .jpg or .png are looked for")
    total = sum(file.stat().st_size for file in files)
    if total > MAX_PICTURE_BYTES:
        raise ValueError(
            f"{path} holds {total / 2**20:.0f} MiB of pictures, at most {MAX_PICTURE_BYTES >> 20} are kept"
        )
    return [file.read_bytes() for file in files]


def make_parser() -> argparse.ArgumentParser:
    """The command's flags."""
    parser = argparse.ArgumentParser(prog="quickeye loadtest", description="Load a server, say honestly how it did.")
    parser.add_argument("url", metavar="URL", help="http://HOST:PORT[/PATH]; without a path: /v1/predict")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder of pictures, or one file")
    shape = parser.add_mutually_exclusive_group(required=True)
    shape.add_argument("--connections", type=whole_number(1, MAX_CONNECTIONS), help="closed loop of N callers")
    shape.add_argument("--rate", type=number(0.001, MAX_RATE), help="open loop: requests per second on average")
    parser.add_argument("--arrivals", choices=tuple(ARRIVALS), help="pattern of --rate (poisson)")
    parser.add_argument(
        "--burst-size", type=whole_number(1, 10_000), help="requests at once with --arrivals burst (10)"
    )
    parser.add_argument("--max-inflight", type=whole_number(1, 20_000), help="with --rate: send no more at once (2048)")
    parser.add_argument("--seconds", type=number(0.1, MAX_SECONDS), default=10.0, help="how long to measure (10)")
    parser.add_argument(
        "--warmup", type=number(0, MAX_SECONDS), default=1.0, help="seconds before that, not counted (1)"
    )
    parser.add_argument("--top-k", type=whole_number(1, 2**31), help="asked of the server")
    parser.add_argument(
        "--timeout-ms",
        type=whole_number(1, 600_000),
        help="deadline asked of the server; the client gives up a second later (6 s without this)",
    )
    parser.add_argument("--seed", type=whole_number(0, 2**63), default=0, help="of arrivals and picture order (0)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


def make_plan(flags: argparse.Namespace) -> LoadPlan:
    """The load that flags describe.

    Raises:
        ValueError: flags that do not go together.
    """
    if flags.connections is not None:
        for name in ("arrivals", "burst_size", "max_inflight"):
            if getattr(flags, name) is not None:
                raise ValueError(f"--{name.replace('_', '-')} belongs to --rate: a closed loop waits for its answers")
        shape: ClosedLoop | OpenLoop = ClosedLoop(flags.connections)
    else:
        pattern = flags.arrivals or "poisson"
        if flags.burst_size is not None and pattern != "burst":
            raise ValueError("--burst-size belongs to --arrivals burst")
        shape = OpenLoop(flags.rate, pattern, flags.burst_size or 10, flags.max_inflight or 2048)
    return LoadPlan(shape, flags.seconds, flags.warmup, flags.seed)


async def run_load(url: str, target: Target, pictures: list[bytes], plan: LoadPlan, timeout_s: float) -> LoadReport:
    """Run a plan; SIGINT ends it early, with a report.

    Raises:
        OSError: the server can't be reached at all.
    """
    client = Client(target, timeout_s=timeout_s)
    loop = asyncio.get_running_loop()
    try:
        await client.connect()
        run = LoadRun(plan, client, [target.request(picture) for picture in pictures])
        loop.add_signal_handler(signal.SIGINT, run.stop)
        try:
            tally = await run.run()
        finally:
            loop.remove_signal_handler(signal.SIGINT)
    finally:
        await client.close()
    return LoadReport(url, len(pictures), sum(map(len, pictures)), plan, tally)


def main(arguments: list[str]) -> int:
    """Run the command; 0: something succeeded, 1: nothing did, or no pictures, 2: usage, 130: interrupted."""
    parser = make_parser()
    flags = parser.parse_args(arguments)
    query = {name: getattr(flags, name) for name in ("top_k", "timeout_ms") if getattr(flags, name) is not None}
    try:
        target, plan = parse_target(flags.url, query), make_plan(flags)
    except ValueError as error:
        parser.error(str(error))
    try:
        pictures = read_pictures(flags.images)
    except (ValueError, OSError) as error:
        return _failed(str(error))
    timeout_s = CLIENT_GRACE_S + (flags.timeout_ms or 5000) / 1000
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            report = runner.run(run_load(flags.url, target, pictures, plan, timeout_s))
    except OSError as error:
        return _failed(f"can't reach {target.host}:{target.port}: {error or 'no reply in time'}")
    print(json.dumps(report.as_json(), indent=2) if flags.json else report.as_text())
    if report.tally.interrupted:
        return 130
    return 0 if report.succeeded else _failed("no request succeeded")


def _failed(message: str) -> int:
    print(f"quickeye loadtest: {message}", file=sys.stderr)
    return 1
