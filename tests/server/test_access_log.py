"""Access lines: gathered, written soon, never lost at the end."""

import asyncio
import contextlib
import io
from collections.abc import Callable, Coroutine

import orjson
import pytest

from server.access_log import FLUSH_LINES, AccessLog
from server.logs import Fields, LogFormat


class CountingStream(io.StringIO):
    """Counts writes; breaks when told to."""

    writes = 0
    broken = False

    def write(self, text: str) -> int:
        if self.broken:
            raise BrokenPipeError
        self.writes += 1
        return super().write(text)


@pytest.fixture
def stream() -> CountingStream:
    return CountingStream()


def run(stream: CountingStream, scenario: Callable[[], Coroutine[None, None, None]]) -> None:
    with contextlib.redirect_stderr(stream):
        asyncio.run(scenario())


def line(number: int = 1, path: str = "/v1/predict") -> Fields:
    return {"request_id": f"r{number}", "method": "POST", "path": path, "status": 200, "total_ms": 1.5}


def write(stream: CountingStream, log_format: LogFormat, *lines: Fields) -> None:
    """Add lines, then flush, as the end of the server does."""

    async def scenario() -> None:
        log = AccessLog(log_format)
        for each in lines:
            log.add(each)
        log.flush()

    run(stream, scenario)


def test_lines_leave_together_and_in_order(stream: CountingStream) -> None:
    write(stream, "json", *(line(number) for number in range(5)))
    entries = [orjson.loads(text) for text in stream.getvalue().splitlines()]
    assert [entry["request_id"] for entry in entries] == ["r0", "r1", "r2", "r3", "r4"]
    assert entries[0]["logger"] == "quickeye.access"
    assert entries[0]["message"] == "POST /v1/predict 200"
    assert stream.writes == 1


def test_a_line_is_written_soon_without_another_request(stream: CountingStream) -> None:
    async def scenario() -> None:
        AccessLog("json").add(line())
        for _ in range(500):
            if stream.writes:
                return
            await asyncio.sleep(0.01)

    run(stream, scenario)
    assert orjson.loads(stream.getvalue())["status"] == 200


def test_many_lines_do_not_wait(stream: CountingStream) -> None:
    async def scenario() -> None:
        log = AccessLog("json")
        for number in range(FLUSH_LINES):
            log.add(line(number))

    run(stream, scenario)
    assert len(stream.getvalue().splitlines()) == FLUSH_LINES


def test_flushing_nothing_writes_nothing(stream: CountingStream) -> None:
    write(stream, "json")
    assert stream.writes == 0


def test_for_people_the_first_three_are_not_repeated(stream: CountingStream) -> None:
    write(stream, "console", line())
    (text,) = stream.getvalue().splitlines()
    assert text.endswith("info    POST /v1/predict 200 request_id=r1 total_ms=1.5")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_path_cannot_forge_lines_or_move_the_cursor(stream: CountingStream, log_format: LogFormat) -> None:
    write(stream, log_format, line(path="/a\n12:00:00 info    POST /forged 200\x1b[2J\u202e"))
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


def test_a_log_that_nobody_reads_ends_no_request(stream: CountingStream) -> None:
    stream.broken = True
    write(stream, "json", *(line(number) for number in range(FLUSH_LINES + 1)))
    assert stream.getvalue() == ""
