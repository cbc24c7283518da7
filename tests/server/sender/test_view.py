"""The live view, on a terminal that understands what it is told."""

import io
import os
import re

import pytest

from server.client import Dropped, FrameError
from server.sender.run import Reconnecting
from server.sender.sources import Frame
from server.sender.tally import StreamTally
from server.sender.view import DRAW_EVERY_S, LiveView
from tests.server.streamed import Clock, ready, result


class Terminal(io.TextIOWrapper):
    """Keeps what a person would see; knows the four sequences that the view uses."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict")
        self.rows: list[str] = [""]
        self.at = 0
        self.written = ""  # of the row, since the cursor came to it
        self.cursor_shown = True
        self.draws = 0

    def write(self, text: str) -> int:
        text.encode(self.encoding, self.errors or "strict")
        for code, plain in re.findall(r"(\x1b\[\??\d*[A-Za-z])|([^\x1b]+)", text):
            self._obey(code) if code else self._print(plain)
        self.draws += 1
        return len(text)

    def _obey(self, code: str) -> None:
        if code.endswith("F"):
            self.at -= int(code[2:-1])
            self.written = ""
        elif code == "\x1b[J":
            self.rows[self.at :] = [""]
        elif code in ("\x1b[?25l", "\x1b[?25h"):
            self.cursor_shown = code.endswith("h")
        else:
            assert code == "\x1b[K"
            self.rows[self.at] = self.written

    def _print(self, text: str) -> None:
        for line in re.findall(r"[^\n]+|\n", text):
            if line == "\n":
                self.at += 1
                self.written = ""
                if self.at == len(self.rows):
                    self.rows.append("")
            else:
                self.written += line
                self.rows[self.at] = self.written + self.rows[self.at][len(self.written) :]

    @property
    def picture(self) -> list[str]:
        return [row.rstrip() for row in self.rows]


class Stage:
    """A view with its clock, tally and terminal."""

    def __init__(self, columns: int = 80, rows: int = 24, encoding: str = "utf-8", classes: int = 2) -> None:
        self.clock = Clock()
        self.tally = StreamTally(self.clock, expected=10)
        self.terminal = Terminal(encoding)
        self.size = os.terminal_size((columns, rows))
        self.view = LiveView(self.terminal, self.tally, "clip.avi to http://h", classes, self.clock, lambda: self.size)

    def answered(self, label: str = "cat", score: float = 0.75) -> None:
        self.tally.read(100)
        self.tally.add(event := result(1, label, round_trip_ms=9.0, score=score))
        self.clock.now_s += 1.01 * DRAW_EVERY_S
        self.view.hear(event, None)


def test_the_screen_says_what_is_going_on() -> None:
    stage = Stage()
    stage.tally.connected(ready())
    stage.view.hear(ready(), None)
    stage.clock.now_s += 1.0
    stage.answered()
    stage.tally.add(Dropped(2, None, "stale"))
    stage.tally.add(FrameError(3, None, "undecodable_image", "broken"))
    stage.clock.now_s += 1.0
    stage.view.tick()
    assert stage.terminal.picture == [
        "clip.avi to http://h  shoes/2",
        "",
        "  75.0%  ██████████████████        cat",
        "  12.5%  ███                       other",
        "",
        "in            0.5/s   1 of 10 frames in 0:02",
        "out           0.5/s   1 results",
        "round trip  9.0 ms p50, – p99",
        "server      4.0 ms p50, – p99",
        "dropped     1: stale 1",
        "errors      1: undecodable_image 1; the last: broken",
        "connection  connected",
        "",
        "",
    ]
    assert not stage.terminal.cursor_shown


def test_it_says_which_frame_the_classes_are_of() -> None:
    stage = Stage()
    stage.clock.now_s += 1.0
    stage.view.hear(result(1, "cat"), Frame(b"", 0.0, "tabby.jpg", 1))
    assert stage.terminal.picture[1] == "tabby.jpg"
    stage.clock.now_s += 1.0
    stage.view.hear(Dropped(2, None, "stale"), Frame(b"", 0.0, "lynx.jpg", 2))
    assert stage.terminal.picture[1] == "tabby.jpg", "no classes came for the other"


def test_it_is_written_in_place_and_not_too_often() -> None:
    stage = Stage()
    for number in range(50):
        stage.answered(f"label {number}")
        for _ in range(5):
            stage.view.tick()
    assert len(stage.terminal.picture) == 14
    assert stage.terminal.picture[2].endswith("label 49")
    assert stage.terminal.draws == 50


def test_a_lost_connection_is_told_at_once_and_found_again_counted() -> None:
    stage = Stage()
    stage.tally.connected(ready())
    stage.view.hear(Reconnecting("can't reach http://h: refused", 1.25, 2), None)
    assert stage.terminal.picture[-3:-1] == [
        "connection  none; attempt 3 in 1.2 s",
        "            can't reach http://h: refused",
    ]
    stage.tally.connected(ready())
    stage.clock.now_s += 1.0
    stage.view.hear(ready(), None)
    assert stage.terminal.picture[-3:-1] == ["connection  connected, 1 reconnect", ""]


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (30, 24), (10, 5), (1, 1), (200, 3)])
def test_it_fits_the_terminal_also_when_that_is_resized(columns: int, rows: int) -> None:
    stage = Stage(classes=5)
    stage.answered("a label that is rather long for such a narrow place")
    stage.size = os.terminal_size((columns, rows))
    stage.answered("a label that is rather long for such a narrow place")
    assert len(stage.terminal.picture) <= max(2, rows)
    assert all(len(row) < max(2, columns) for row in stage.terminal.picture)


def test_a_stranger_s_label_cannot_steer_the_terminal_and_an_old_one_gets_ascii() -> None:
    stage = Stage(encoding="ascii")
    stage.answered("\x1b[2J\x07 кот")
    assert stage.terminal.picture[2].startswith("  75.0%  ##################")
    assert "\x07" not in stage.terminal.picture[2]
    assert "- p99" in "".join(stage.terminal.picture)


def test_the_end_leaves_the_last_picture_or_nothing() -> None:
    stage = Stage()
    stage.answered()
    stage.clock.now_s += 9.9
    stage.view.close()
    assert stage.terminal.picture[5:7] == [
        "in            0.1/s   1 of 10 frames in 0:10",
        "out           0.1/s   1 results",
    ]
    assert "connection  ended" in stage.terminal.picture
    assert stage.terminal.cursor_shown
    unused = Stage()
    unused.view.tick()
    unused.view.close()
    assert "".join(unused.terminal.picture[1:]) == ""
    assert unused.terminal.cursor_shown
