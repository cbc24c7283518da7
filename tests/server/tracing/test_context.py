"""Whose trace a request belongs to, who decides whether it is sampled, and how the answer names it."""

import asyncio
import logging
import re
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from server.app import App
from tests.server.posting import RED
from tests.server.tracing.kept_spans import (
    CALLER_SPAN,
    CALLER_TRACE,
    NOT_SAMPLED,
    SAMPLED,
    Kept,
    context_of,
    identity,
    traced_app,
)

TRACERESPONSE = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


def posted(
    store: Path, headers: Mapping[str, str], **settings: object
) -> tuple[httpx.Response, list[tuple[str, tuple[int, int], int | None]], list[str]]:
    """One picture's reply; the spans that were kept as (name, identity, parent's span); their trace states."""

    async def run() -> tuple[httpx.Response, list[tuple[str, tuple[int, int], int | None]], list[str]]:
        async with traced_app(store, **settings) as (_, client, kept):
            lines = [(name, value.encode("latin-1")) for name, value in headers.items()]
            reply = await client.post("/v1/predict", content=RED, headers=lines)
            spans = [span for span in kept.spans() if span.name.startswith("POST")]
            told = [(one.name, identity(one), None if one.parent is None else one.parent.span_id) for one in spans]
            return reply, told, [context_of(one).trace_state.to_header() for one in spans]

    return asyncio.run(run())


def test_the_callers_trace_goes_on(colour_store: Path) -> None:
    reply, [(_, (trace, span), parent)], [state] = posted(colour_store, {**SAMPLED, "tracestate": "shop=7,other=x"})
    assert (f"{trace:032x}", parent) == (CALLER_TRACE, int(CALLER_SPAN, 16))
    assert reply.headers["traceresponse"] == f"00-{CALLER_TRACE}-{span:016x}-01"
    assert state == "shop=7,other=x"


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "00",
        "00-" + "0" * 32 + f"-{CALLER_SPAN}-01",
        f"00-{CALLER_TRACE}-" + "0" * 16 + "-01",
        f"ff-{CALLER_TRACE}-{CALLER_SPAN}-01",
        f"00-{CALLER_TRACE.upper()}-{CALLER_SPAN}-01",
        f"00-{CALLER_TRACE}-{CALLER_SPAN}-01-more",
        f"00-{CALLER_TRACE}-{CALLER_SPAN}-zz",
        "é" * 30,
        "0" * 5000,
    ],
)
def test_a_broken_traceparent_is_as_none(
    colour_store: Path, traceparent: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        reply, [(_, (trace, span), parent)], _ = posted(
            colour_store, {"traceparent": traceparent, "tracestate": "=" * 600}
        )
    assert reply.status_code == 200 and parent is None
    matched = TRACERESPONSE.fullmatch(reply.headers["traceresponse"])
    assert matched is not None and matched[1] != CALLER_TRACE
    assert (int(matched[1], 16), int(matched[2], 16)) == (trace, span)
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []


def test_a_tracestate_that_cannot_be_read_does_not_break_the_trace(
    colour_store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        _, [(_, (trace, _), _)], [state] = posted(colour_store, {**SAMPLED, "tracestate": "no state, at=all=,,"})
    assert (f"{trace:032x}", "no state" in state) == (CALLER_TRACE, False)
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []


def test_the_caller_decides_whether_its_request_is_sampled(colour_store: Path) -> None:
    reply, kept, _ = posted(colour_store, NOT_SAMPLED, trace_ratio=1.0)
    assert kept == []
    matched = TRACERESPONSE.fullmatch(reply.headers["traceresponse"])
    assert matched is not None and (matched[1], matched[3]) == (CALLER_TRACE, "00")
    _, kept, _ = posted(colour_store, SAMPLED, trace_ratio=0.0)
    assert len(kept) == 1


def test_a_request_that_is_not_sampled_names_its_trace_and_writes_nothing(colour_store: Path) -> None:
    reply, kept, _ = posted(colour_store, {}, trace_ratio=0.0)
    assert kept == []
    matched = TRACERESPONSE.fullmatch(reply.headers["traceresponse"])
    assert matched is not None and int(matched[3], 16) & 1 == 0


def test_a_share_is_sampled_and_always_whole(colour_store: Path) -> None:
    async def run() -> None:
        async with traced_app(colour_store, trace_ratio=0.5) as (_, client, kept):
            replies = [await client.post("/v1/predict", content=RED) for _ in range(60)]
            said = [reply.headers["traceresponse"].split("-") for reply in replies]
            sampled = {trace for _, trace, _, flags in said if int(flags, 16) & 1}
            assert 5 < len(sampled) < 55  # fails once in 10⁹ runs
            requests = kept.spans("POST /v1/predict")
            assert {f"{identity(span)[0]:032x}" for span in requests} == sampled
            assert [len(kept.children(request)) for request in requests] == [5] * len(requests)
            assert len(kept.spans("batch")) == len(requests)

    asyncio.run(run())


def test_a_batch_is_kept_for_the_sampled_in_it_and_names_no_other(colour_store: Path) -> None:
    async def scenario(app: App, client: httpx.AsyncClient, kept: Kept) -> None:
        files = {"content": RED}
        await asyncio.gather(
            client.post("/v1/predict", headers=SAMPLED, **files),
            client.post("/v1/predict", headers=NOT_SAMPLED, **files),
        )
        batch = kept.one("batch")
        assert [link.context.span_id for link in batch.links] == [identity(kept.one("POST /v1/predict"))[1]]

    async def run() -> None:
        async with traced_app(colour_store, trace_ratio=0.0) as (app, client, kept):
            await scenario(app, client, kept)

    asyncio.run(run())


def test_opentelemetrys_own_sampler_variable_has_the_last_word(
    colour_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    _, kept, _ = posted(colour_store, NOT_SAMPLED, trace_ratio=0.0)
    assert len(kept) == 1
