"""``quickeye stream``: send a video file, folder or camera to a server and show the results live.

A recorded source (file, folder) is sent whole, at its own rate, each frame
answered; a live one (camera, address) is sent as it comes, and what the server
cannot take is dropped in favour of newer frames. Exit codes: 0, 1 (the source or
the server failed, a frame did, or none was answered), 2 (usage), 130 (interrupted).
"""

import argparse
import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from server.client import AsyncClient, ClientError
from server.client.client_base import DEFAULT_URL
from server.client.stream_target import StreamOptions
from server.commands.ending import INTERRUPTED
from server.number_flag import number, whole_number
from server.sender.feed import FrameFeed
from server.sender.report import JsonLines, PictureLines, PlainLines, Teller
from server.sender.run import StreamPlan, StreamRun
from server.sender.source_thread import SourceThread
from server.sender.sources import Encoding, Size, Source, SourceError, open_source
from server.sender.tally import StreamTally
from server.sender.text import printable
from server.sender.video import without_password
from server.sender.view import LiveView

TICK_S = 0.25


def size(text: str) -> Size:
    """An argparse type: ``640x480``."""
    found = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", text)
    if not found or not int(found[1]) or not int(found[2]):
        raise argparse.ArgumentTypeError(f"'{text}' is not WIDTHxHEIGHT, like 640x480")
    return int(found[1]), int(found[2])


def reference(text: str) -> tuple[str, int | None]:
    """An argparse type: ``shoes``, ``shoes/3``; whether there is such a model, the server says."""
    name, slash, version = text.partition("/")
    if not name or (slash and not (version.isascii() and version.isdigit() and len(version) < 10)):
        raise argparse.ArgumentTypeError(f"'{text}' is neither NAME nor NAME/VERSION, like shoes/3")
    return name, int(version) if slash else None


def make_parser() -> argparse.ArgumentParser:
    """The command's flags."""
    parser = argparse.ArgumentParser(prog="quickeye stream", description="Send frames to a server, show results live.")
    add = parser.add_argument
    add("source", metavar="SOURCE", help="video, picture, folder of pictures, rtsp:// or http:// address, camera (0)")
    add("--url", default=DEFAULT_URL, help=f"of the server ({DEFAULT_URL})")
    add("--model", type=reference, metavar="NAME", help="NAME or NAME/VERSION (the server's default)")
    add("--fps", type=number(0, 1000), help="frames per second; 0: as fast as they are answered (the source's own)")
    add("--policy", choices=("latest", "all"), help="(all for files and folders, latest for cameras and addresses)")
    add("--top-k", type=whole_number(1, 1000), default=5, metavar="K", help="classes per frame (5)")
    add("--threshold", type=number(-1e9, 1e9), metavar="SCORE", help="leave out classes that score less")
    add("--gate", type=number(0, 255), metavar="LEVELS", help="do not run frames that differ less from the last one")
    add("--smoothing", type=number(0, 0.999), metavar="WEIGHT", help="of the past in the scores (0)")
    add("--only-changed", action="store_true", help="leave the classes out while the best one stays the same")
    add("--priority", type=whole_number(0, 9), help="0 is served first, 9 last (5)")
    add("--loop", action="store_true", help="begin a file or folder again at its end")
    add("--seconds", type=number(0.001, 1e9), metavar="S", help="end after this time")
    add("--frames", type=whole_number(1, 10**12), metavar="N", help="end after this many frames")
    add("--size", type=size, metavar="WxH", help="make larger frames fit into this before they are sent")
    add("--quality", type=whole_number(1, 100), default=85, help="of the JPEG that video frames are sent as (85)")
    add("--recursive", action="store_true", help="enter folders inside a folder")
    add("--max-inflight", type=whole_number(1, 1000), metavar="N", help="frames without an answer at once")
    add("--patience", type=number(0, 1e9), default=30.0, metavar="S", help="try to connect for this long; 0: once (30)")
    keys = parser.add_mutually_exclusive_group()
    keys.add_argument("--key", help="the server's API key; other users of this machine may see it")
    keys.add_argument("--key-file", type=Path, metavar="FILE", help="a file with the key")
    add("--json", action="store_true", help="one JSON object per event on stdout")
    return parser


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    parser = make_parser()
    flags = parser.parse_args(arguments)
    try:
        client = AsyncClient(flags.url, key=flags.key_file.read_text().strip() if flags.key_file else flags.key)
        options = stream_options(flags)
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        return _failed(f"{flags.key_file}: {error.strerror or error}")
    return asyncio.run(Command(flags, client, options).run())


def stream_options(flags: argparse.Namespace) -> StreamOptions:
    """What is asked of the server; ``policy`` only where a flag says it."""
    options: StreamOptions = {"top_k": flags.top_k, "only_changed": flags.only_changed}
    if flags.model is not None:
        options["model"], version = flags.model
        if version is not None:
            options["version"] = version
    for option in ("threshold", "gate", "smoothing", "priority", "policy"):
        if getattr(flags, option) is not None:
            options[option] = getattr(flags, option)
    return options


class Command:
    """One run of the command, from opening the source to the summary."""

    def __init__(self, flags: argparse.Namespace, client: AsyncClient, options: StreamOptions) -> None:
        self._flags = flags
        self._client = client
        self._options = options
        self._signal: signal.Signals | None = None
        self._stop: Callable[[], object] = lambda: None

    async def run(self) -> int:
        """Returns the exit code."""
        loop = asyncio.get_running_loop()
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, self._on_signal, each)
        thread = SourceThread()
        flags, encoding = self._flags, Encoding(self._flags.size, self._flags.quality)
        opening = loop.create_task(thread.call(lambda: open_source(flags.source, encoding, recursive=flags.recursive)))
        self._stop = opening.cancel
        try:
            source = await opening
        except SourceError as error:
            return _failed(str(error))
        except asyncio.CancelledError:
            return _interrupted_by(self._signal)
        try:
            return await self._stream(source, thread)
        finally:
            await thread.close(source.close)

    async def _stream(self, source: Source, thread: SourceThread) -> int:
        flags, clock = self._flags, asyncio.get_running_loop().time
        policy = self._options.setdefault("policy", "latest" if source.live else "all")
        tally = StreamTally(clock, None if flags.loop else source.count)
        feed = FrameFeed(
            source, thread.call,
            fps=flags.fps, skip_late=policy == "latest", loop=flags.loop, clock=clock, sleep=asyncio.sleep,
        )  # fmt: skip
        plan = StreamPlan(self._options, flags.seconds, flags.frames, flags.patience, flags.max_inflight)
        teller = self._teller(source, tally, clock)
        run = StreamRun(self._client, plan, feed, tally, teller.hear)
        self._stop = run.stop
        failure = await self._shown(run, teller)
        if failure is not None:
            return _failed(failure)
        if self._signal is not None:
            return _interrupted_by(self._signal)
        return _verdict(tally)

    async def _shown(self, run: StreamRun, teller: Teller) -> str | None:
        """Run and show; returns what failed."""
        running, ticking = asyncio.create_task(run.run()), asyncio.create_task(_tick(teller))
        try:
            await asyncio.wait({running, ticking}, return_when=asyncio.FIRST_COMPLETED)
            if ticking.done():  # nobody reads the output
                await ticking
            await running
        except ClientError as error:
            patience_s = self._flags.patience
            return f"{error}; gave up after {patience_s:g} s" if error.transient and patience_s else str(error)
        except SourceError as error:
            return str(error)
        finally:
            running.cancel()
            ticking.cancel()
            await asyncio.gather(running, ticking, return_exceptions=True)
            teller.close()
        return None

    def _teller(self, source: Source, tally: StreamTally, clock: Callable[[], float]) -> Teller:
        if self._flags.json:
            return JsonLines(sys.stdout, tally)
        if not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb":
            are_pictures = not source.live and source.fps is None
            return PictureLines(sys.stdout, tally) if are_pictures else PlainLines(sys.stdout, tally, clock)
        title = f"{without_password(self._flags.source)} to {self._client.address}"
        return LiveView(sys.stdout, tally, title, self._flags.top_k, clock, shutil.get_terminal_size)

    def _on_signal(self, which: signal.Signals) -> None:
        self._signal = self._signal or which
        self._stop()


async def _tick(teller: Teller) -> None:
    while True:
        await asyncio.sleep(TICK_S)
        teller.tick()


def _verdict(tally: StreamTally) -> int:
    if not tally.results:
        return _failed("no frame was answered")
    return 1 if tally.errors else 0


def _interrupted_by(which: signal.Signals | None) -> int:
    return INTERRUPTED if which in (None, signal.SIGINT) else 128 + which


def _failed(message: str) -> int:
    print(f"quickeye stream: {printable(message)}", file=sys.stderr)
    return 1
