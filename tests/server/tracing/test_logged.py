"""Log lines name the trace that they belong to."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.logs import ConsoleLines, JsonLines
from tests.server.posting import GREEN, RED
from tests.server.tracing.kept_spans import CALLER_TRACE, NOT_SAMPLED, SAMPLED, gated, identity, traced_app


class Lines:
    """What was logged as JSON."""

    def __init__(self) -> None:
        self.text = io.StringIO()

    def saying(self, message: str) -> dict[str, Any]:
        found = [json.loads(line) for line in self.text.getvalue().splitlines()]
        [line] = [line for line in found if message in line["message"]]
        return dict(line)


@pytest.fixture
def lines() -> Iterator[Lines]:
    kept = Lines()
    handler = logging.StreamHandler(kept.text)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.addHandler(handler)
    yield kept
    root.removeHandler(handler)


def test_the_access_line_names_the_trace_sampled_or_not(colour_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def run() -> list[str]:
        async with traced_app(colour_store, access_log=True, log_format="json") as (app, client, _):
            replies = [await client.post("/v1/predict", content=RED, headers=given) for given in ({}, NOT_SAMPLED)]
            assert app._access_log is not None
            app._access_log.flush()
            return [reply.headers["traceresponse"].split("-")[1] for reply in replies]

    named = asyncio.run(run())
    logged = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["trace_id"] for line in logged if line["logger"] == "quickeye.access"] == named
    assert named[1] == CALLER_TRACE


def test_a_failed_batch_names_the_sampled_traces_in_it(colour_store: Path, lines: Lines) -> None:
    def fail(outputs: object) -> tuple[()]:
        raise ValueError("a fault")

    async def run() -> str:
        async with traced_app(colour_store) as (app, client, kept):
            gated(app).fault = fail
            await client.post("/v1/predict", content=GREEN)
            return f"{identity(kept.one('POST /v1/predict'))[0]:032x}"

    trace = asyncio.run(run())
    assert lines.saying("failed in backend")["trace_ids"] == [trace]


def test_a_fault_of_a_request_is_logged_with_its_trace(colour_store: Path, lines: Lines) -> None:
    async def run() -> None:
        async with traced_app(colour_store) as (app, client, _):
            model = app.service.catalogue.find()
            model.batcher.submit = None  # type: ignore[assignment,method-assign]  # a fault of ours
            assert (await client.post("/v1/predict", content=RED, headers=SAMPLED)).status_code == 500
            logging.getLogger("quickeye").warning("afterwards")

    asyncio.run(run())
    assert lines.saying("request")["trace_id"] == CALLER_TRACE
    assert "trace_id" not in lines.saying("afterwards")


def test_a_console_line_ends_with_the_trace() -> None:
    record = logging.LogRecord("quickeye", logging.ERROR, __file__, 1, "it failed", (), None)
    record.trace_ids = ["a1", "b2"]
    assert ConsoleLines().format(record).endswith("it failed trace_ids=['a1', 'b2']")
    assert "trace" not in ConsoleLines().format(logging.LogRecord("quickeye", 40, __file__, 1, "it failed", (), None))
