"""Log lines, as JSON and for people."""

import json
import logging
import sys

import orjson
import pytest

from server.logs import ConsoleLines, JsonLines, console_line, is_json, json_line, set_up_logs


@pytest.fixture
def record() -> logging.LogRecord:
    return logging.LogRecord("quickeye.app", logging.WARNING, __file__, 1, "%d of %s", (3, "four"), None)


@pytest.fixture
def failed_record() -> logging.LogRecord:
    try:
        raise ValueError("inside")
    except ValueError:
        return logging.LogRecord("quickeye.app", logging.ERROR, __file__, 1, "it failed", (), sys.exc_info())


def test_a_json_line_is_one_object_on_one_line() -> None:
    line = json_line(1.5, "info", "a", "two\nlines", {"stages_ms": {"infer": 1.25}, "odd": object})
    assert "\n" not in line
    entry = json.loads(line)
    assert (entry["time"], entry["level"], entry["logger"], entry["message"]) == (1.5, "info", "a", "two\nlines")
    assert entry["stages_ms"] == {"infer": 1.25}
    assert "object" in entry["odd"]


def test_a_console_line_shows_fields_as_words() -> None:
    line = console_line(0.0, "info", "POST /v1/predict 200", {"images": 2, "stages_ms": {"decode": 1, "infer": 2}})
    assert line.endswith("info    POST /v1/predict 200 images=2 stages_ms=decode:1,infer:2")


def test_records_become_lines(record: logging.LogRecord) -> None:
    entry = orjson.loads(JsonLines().format(record))
    assert (entry["level"], entry["logger"], entry["message"]) == ("warning", "quickeye.app", "3 of four")
    assert "exception" not in entry
    assert ConsoleLines().format(record).endswith("warning 3 of four")


def test_an_exception_is_told_whole(failed_record: logging.LogRecord) -> None:
    line = JsonLines().format(failed_record)
    assert "\n" not in line
    assert "ValueError: inside" in orjson.loads(line)["exception"]
    first, *rest = ConsoleLines().format(failed_record).splitlines()
    assert first.endswith("error   it failed")
    assert rest[-1] == "ValueError: inside"


def test_auto_asks_whether_somebody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    assert is_json("json")
    assert not is_json("console")
    assert is_json("auto"), "captured output is no terminal"
    assert capsys.readouterr().err == ""


def test_logs_go_to_stderr_and_uvicorn_speaks_only_of_trouble(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    uvicorn_level = logging.getLogger("uvicorn").level
    try:
        root.handlers = []
        set_up_logs("json", "info")
        logging.getLogger("quickeye.test").info("hello")
        logging.getLogger("uvicorn.error").info("started")
        logging.getLogger("quickeye.test").debug("detail")
    finally:
        root.handlers = handlers
        root.setLevel(level)
        logging.getLogger("uvicorn").setLevel(uvicorn_level)
    caught = capsys.readouterr()
    assert caught.out == ""
    assert [orjson.loads(line)["message"] for line in caught.err.splitlines()] == ["hello"]
