"""A stream in lines: for programs, for logs."""

import io
import json

import pytest

from server.client import Dropped, FrameError
from server.sender.report import LINE_EVERY_S, JsonLines, PictureLines, PlainLines
from server.sender.run import Lost, Reconnecting
from server.sender.sources import Frame
from server.sender.tally import StreamTally
from tests.server.streamed import Clock, ready, result

FRAME = Frame(b"", 12.5, "cat.jpg", 7)


def test_every_event_is_a_line_of_json_about_its_frame(capsys: pytest.CaptureFixture[str]) -> None:
    out, tally = io.StringIO(), StreamTally(Clock())
    lines = JsonLines(out, tally)
    lines.hear(ready(), None)
    for event in (result(3, "кот"), Dropped(4, 12.5, "stale"), Lost("not connected"), FrameError(5, 12.5, "c", "m")):
        lines.hear(event, FRAME)
    lines.hear(Reconnecting("gone\x1b[2J", 0.5, 1), None)
    lines.tick()
    documents = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [document["type"] for document in documents] == [
        "ready", "result", "dropped", "dropped", "error", "reconnecting",
    ]  # fmt: skip
    assert documents[1]["predictions"][0] == {"index": 1, "label": "кот", "score": 0.75}
    for document in documents[1:5]:
        assert (document["frame"], document["name"]) == (7, "cat.jpg")
    assert documents[3] == {
        "type": "dropped", "frame": 7, "name": "cat.jpg", "captured_at": 12.5, "reason": "not connected",
    }  # fmt: skip
    assert documents[5]["pause_s"] == 0.5
    assert capsys.readouterr().err == "quickeye stream: gone�[2J; trying again in 0.5 s\n"
    lines.close()
    assert capsys.readouterr().err == ""
    tally.read(10)
    lines.close()
    assert capsys.readouterr().err.startswith("frames      1 in 0.0 s")


def test_pictures_get_a_line_each_whatever_became_of_them() -> None:
    out, tally = io.StringIO(), StreamTally(Clock())
    lines = PictureLines(out, tally)
    lines.hear(ready(), None)
    for event in (result(3, "cat"), Dropped(4, 12.5, "overloaded"), FrameError(5, 12.5, "undecodable_image", "broken")):
        lines.hear(event, FRAME)
        lines.tick()
    assert out.getvalue().splitlines() == [
        "cat.jpg  75.0% cat",
        "cat.jpg  overloaded",
        "cat.jpg  undecodable_image: broken",
    ]
    tally.read(10)
    lines.close()
    assert out.getvalue().splitlines()[3].startswith("frames      1 in")


def test_a_log_gets_a_line_a_second_and_the_summary() -> None:
    clock, out = Clock(), io.StringIO()
    tally = StreamTally(clock)
    lines = PlainLines(out, tally, clock)
    for _ in range(25):
        clock.now_s += LINE_EVERY_S / 10
        tally.read(10)
        tally.add(event := result(1, "cat"))
        lines.hear(event, FRAME)
        lines.tick()
    assert [line[:5] for line in out.getvalue().splitlines()] == ["0:01 ", "0:02 "]
    lines.close()
    assert out.getvalue().splitlines()[2] == "frames      25 in 2.5 s (10.0/s)"
