"""The live view of ``quickeye stream``: a few lines of a terminal, written over and over in place."""

import os
from collections.abc import Callable
from typing import TextIO

from server.client import Ready, Result
from server.sender.run import Reconnecting, Told
from server.sender.sources import Frame
from server.sender.tally import StreamTally
from server.sender.text import clock_time, counted, fitted, latency, prediction_rows, printable, unanswered

DRAW_EVERY_S = 0.1
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
CLEAR_LINE, CLEAR_BELOW = "\x1b[K", "\x1b[J"


class LiveView:
    """A screen.

    Args:
        out: a terminal.
        title: what is streamed where; the model is added.
        classes: how many lines the predictions take.
        size: of the terminal, asked again at every drawing.
    """

    def __init__(
        self,
        out: TextIO,
        tally: StreamTally,
        title: str,
        classes: int,
        clock: Callable[[], float],
        size: Callable[[], os.terminal_size],
    ) -> None:
        self._out = out
        self._tally = tally
        self._title = title
        self._classes = classes
        self._clock = clock
        self._size = size
        self._lines = 0
        self._drawn_s = -DRAW_EVERY_S
        self._state = ("connecting", "")  # in few words, and why
        self._answered = ""  # the file, or the place in the video, that the classes are of
        self._is_over = False
        self._encoding = out.encoding or "ascii"
        self._blocks = self._encoding.lower().replace("-", "") in ("utf8", "utf16")

    def hear(self, told: Told, frame: Frame | None) -> None:
        """Remember how the connection is, and draw if that was not done just now."""
        if isinstance(told, Result) and frame is not None:
            self._answered = frame.name
        if isinstance(told, Ready):
            self._state = ("connected", "")
        elif isinstance(told, Reconnecting):
            self._state = (f"none; attempt {told.attempt + 1} in {told.pause_s:.1f} s", told.reason)
        if self._clock() - self._drawn_s >= DRAW_EVERY_S or isinstance(told, Reconnecting):
            self.draw()

    def tick(self) -> None:
        """Draw if that was not done just now."""
        if self._clock() - self._drawn_s >= DRAW_EVERY_S:
            self.draw()

    def close(self) -> None:
        """Leave a last picture, with the rates of the whole run, and give the cursor back."""
        self._state, self._is_over = ("ended", ""), True
        if self._tally.frames:
            self.draw()
        elif self._lines:
            self._write(f"\x1b[{self._lines}F{CLEAR_BELOW}")
        self._write(SHOW_CURSOR)

    def draw(self) -> None:
        """Write over what was drawn before."""
        columns, rows = self._size()
        lines = [fitted(printable(line), columns - 1) for line in self._picture(rows - 1)]
        back = f"\x1b[{self._lines}F" if self._lines else HIDE_CURSOR
        self._write(back + "".join(f"{line}{CLEAR_LINE}\n" for line in lines) + CLEAR_BELOW)
        self._lines = len(lines)
        self._drawn_s = self._clock()

    def _picture(self, rows: int) -> list[str]:
        tally = self._tally
        rate_in, rate_out = tally.rates(whole_run=self._is_over)
        figures = [
            ("in", f"{rate_in:5.1f}/s   {tally.frames:,}{_of(tally)} frames in {clock_time(tally.seconds)}"),
            ("out", f"{rate_out:5.1f}/s   {tally.results:,} results" + _reused(tally)),
            ("round trip", latency(tally.round_trip_ms)),
            ("server", latency(tally.server_ms)),
            ("dropped", counted(tally.dropped) + (unanswered(tally) if self._is_over else "")),
            ("errors", counted(tally.errors) + (f"; the last: {tally.last_error}" if tally.last_error else "")),
            ("connection", self._state[0] + _times(tally)),
            ("", self._state[1]),
        ]
        below = ["", *(f"{name:<12}{text}" for name, text in figures)]
        title = f"{self._title}  {tally.model}"
        room = max(0, min(self._classes, rows - len(below) - 2))
        classes = prediction_rows(tally.predictions[:room], blocks=self._blocks)
        answered = f"{self._answered}  unknown" if tally.unknown else self._answered
        return [title, answered, *classes, *[""] * (room - len(classes)), *below][: max(1, rows)]

    def _write(self, text: str) -> None:
        text = text if self._blocks else text.replace("–", "-")
        self._out.write(text.encode(self._encoding, "replace").decode(self._encoding))
        self._out.flush()


def _reused(tally: StreamTally) -> str:
    return f", {tally.reused:,} reused" if tally.reused else ""


def _of(tally: StreamTally) -> str:
    return f" of {tally.expected:,}" if tally.expected else ""


def _times(tally: StreamTally) -> str:
    again = tally.connections - 1
    return f", {again} reconnect{'s' if again > 1 else ''}" if again > 0 else ""
