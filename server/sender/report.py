"""What ``quickeye stream`` says in lines: JSON for programs, a line for each picture, one line a second for logs."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Protocol, TextIO

from server.client import ConfigChanged, Dropped, FrameError, Ready, Result, Stats
from server.sender.run import Lost, Reconnecting, Told
from server.sender.sources import Frame
from server.sender.tally import StreamTally
from server.sender.text import printable, score, status, summary

LINE_EVERY_S = 1.0

_TYPES: dict[type[object], str] = {
    Ready: "ready",
    Result: "result",
    Dropped: "dropped",
    Lost: "dropped",
    FrameError: "error",
    ConfigChanged: "config",
    Stats: "stats",
    Reconnecting: "reconnecting",
}


class Teller(Protocol):
    """Somebody who shows a run."""

    def hear(self, told: Told, frame: Frame | None) -> None:
        """Something happened."""

    def tick(self) -> None:
        """Time has passed; called several times a second."""

    def close(self) -> None:
        """It is over."""


class JsonLines:
    """Every event as one JSON object on its own line."""

    def __init__(self, out: TextIO, tally: StreamTally) -> None:
        self._out = out
        self._tally = tally

    def hear(self, told: Told, frame: Frame | None) -> None:
        """Write it at once."""
        print(json.dumps(as_json(told, frame)), file=self._out, flush=True)
        complain(told)

    def tick(self) -> None:
        """Nothing is due."""

    def close(self) -> None:
        """The summary is for a person."""
        if self._tally.frames:
            print(summary(self._tally), file=sys.stderr)


class PictureLines:
    """One line for each picture: its file, and its best class or what was wrong."""

    def __init__(self, out: TextIO, tally: StreamTally) -> None:
        self._out = out
        self._tally = tally

    def hear(self, told: Told, frame: Frame | None) -> None:
        """Write an answer at once."""
        complain(told)
        if frame is None or not isinstance(told, Result | FrameError | Dropped):
            return
        if isinstance(told, Result):
            best = f"{score(told.best.score)} {told.best.label}" if told.best is not None else "–"
            best = f"unknown, {best}" if told.unknown else best
            what = "unchanged" if told.unchanged else best
        else:
            what = told.reason if isinstance(told, Dropped) else f"{told.code}: {told.message}"
        print(printable(f"{frame.name}  {what}"), file=self._out, flush=True)

    def tick(self) -> None:
        """Nothing is due."""

    def close(self) -> None:
        """Write the summary."""
        if self._tally.frames:
            print(summary(self._tally), file=self._out)


class PlainLines:
    """How it goes, in one line a second."""

    def __init__(self, out: TextIO, tally: StreamTally, clock: Callable[[], float]) -> None:
        self._out = out
        self._tally = tally
        self._clock = clock
        self._due_s = clock() + LINE_EVERY_S

    def hear(self, told: Told, frame: Frame | None) -> None:
        """A lost connection is told at once, the rest when it is due."""
        complain(told)
        self.tick()

    def tick(self) -> None:
        """Write the line when it is due and there is something to say."""
        if self._clock() >= self._due_s and self._tally.frames:
            self._due_s = self._clock() + LINE_EVERY_S
            line = printable(status(self._tally))
            print(line, file=self._out, flush=True)

    def close(self) -> None:
        """Write the summary."""
        if self._tally.frames:
            print(summary(self._tally), file=self._out)


def as_json(told: Told, frame: Frame | None) -> dict[str, object]:
    """An event with the frame that it is about: its number from 1, and its file, or its place in the video."""
    about = {} if frame is None else {"frame": frame.number, "name": frame.name, "captured_at": frame.captured_at}
    fields = asdict(told)
    fields.pop("class_activation", None)
    return {"type": _TYPES[type(told)], **about, **fields}


def complain(told: Told) -> None:
    """Say on stderr what a person should know even when the events go elsewhere."""
    if isinstance(told, Reconnecting):
        print(f"quickeye stream: {printable(told.reason)}; trying again in {told.pause_s:.1f} s", file=sys.stderr)
