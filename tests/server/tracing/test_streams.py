"""The traces of streams: a span for the session, a trace for each sampled frame."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from opentelemetry.trace import SpanKind, StatusCode

from server.app import App
from tests.server.posting import GREEN, RED
from tests.server.tracing.kept_spans import (
    CALLER_TRACE,
    NOT_SAMPLED,
    SAMPLED,
    AppSocket,
    Kept,
    attributes,
    gated,
    identity,
    links_of,
    traced_app,
)

SESSION = "GET /v1/stream"
STAGES = ["queue", "decode", "preprocess", "infer", "postprocess"]

Scenario = Callable[[App, Kept], Awaitable[None]]


def play(store: Path, scenario: Scenario, **settings: object) -> None:
    """Run a scenario on a traced application."""

    async def run() -> None:
        async with traced_app(store, max_frame_age_ms=60_000, **settings) as (app, _, kept):
            await scenario(app, kept)

    asyncio.run(run())


async def opened(app: App, query: str = "", headers: dict[str, str] | None = None) -> tuple[AppSocket, str]:
    """A stream that is ready, and what its handshake said of its trace."""
    socket = AppSocket(app, query, headers)
    accepted = await socket.hears()
    assert accepted["type"] == "websocket.accept"
    assert (await socket.event())["type"] == "ready"
    return socket, dict(accepted["headers"])[b"traceresponse"].decode()


def test_a_stream_is_a_span_and_its_frames_have_traces_of_their_own(colour_store: Path) -> None:
    async def scenario(app: App, kept: Kept) -> None:
        socket, named = await opened(app, "policy=all", SAMPLED)
        for frame in (RED, GREEN):
            socket.sends(frame)
            assert (await socket.event())["type"] == "result"
        await socket.leaves()
        session, frames = kept.one(SESSION), kept.spans("frame")
        assert named.split("-")[1] == CALLER_TRACE == f"{identity(session)[0]:032x}"
        assert session.kind is SpanKind.SERVER
        told = attributes(session)
        assert (told["http.response.status_code"], told["quickeye.stream.frames"]) == (101, 2)
        assert (told["quickeye.stream.results"], told["quickeye.model.name"]) == (2, "mean_colour")
        assert len({identity(span)[0] for span in (session, *frames)}) == 3
        for seq, frame_span in enumerate(frames, 1):
            said = attributes(frame_span)
            assert (said["quickeye.frame.seq"], said["quickeye.outcome"]) == (seq, "result")
            assert [stage.name for stage in kept.children(frame_span)] == STAGES
            (batch,) = [span for span in kept.spans("batch") if identity(frame_span) in links_of(span)]
            assert links_of(frame_span) == {identity(session), identity(batch)}

    play(colour_store, scenario)


def test_a_superseded_frame_says_so_and_shows_its_wait(colour_store: Path) -> None:
    async def scenario(app: App, kept: Kept) -> None:
        backend = gated(app)
        backend.gate.clear()
        socket, _ = await opened(app)
        socket.sends(RED)
        await asyncio.to_thread(backend.entered.acquire)
        socket.sends(RED)
        socket.sends(GREEN)
        assert (await socket.event())["reason"] == "superseded"
        dropped = kept.one("frame")
        assert attributes(dropped)["quickeye.outcome"] == "superseded"
        assert dropped.status.status_code is StatusCode.UNSET
        assert [span.name for span in kept.children(dropped)] == ["queue"]
        backend.gate.set()
        assert [(await socket.event())["seq"] for _ in range(2)] == [1, 3]
        await socket.leaves()

    play(colour_store, scenario)


def test_frames_that_cannot_be_answered_say_why(colour_store: Path) -> None:
    async def scenario(app: App, kept: Kept) -> None:
        socket, _ = await opened(app)
        socket.sends(b"no picture")
        assert (await socket.event())["code"] == "undecodable_image"
        refused = kept.one("frame")
        assert attributes(refused)["quickeye.code"] == attributes(refused)["quickeye.outcome"] == "undecodable_image"
        assert refused.status.status_code is StatusCode.UNSET

        def fail(outputs: object) -> tuple[()]:
            raise ValueError("a fault")

        gated(app).fault = fail
        socket.sends(RED)
        assert (await socket.event())["code"] == "internal"
        _, failed = kept.spans("frame")
        assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, "internal")
        await socket.leaves()

    play(colour_store, scenario)


def test_frames_whose_client_left_are_abandoned(colour_store: Path) -> None:
    async def scenario(app: App, kept: Kept) -> None:
        backend = gated(app)
        backend.gate.clear()
        socket, _ = await opened(app)
        socket.sends(RED)
        await asyncio.to_thread(backend.entered.acquire)
        await socket.leaves()
        assert attributes(kept.one("frame"))["quickeye.outcome"] == "abandoned"
        backend.gate.set()

    play(colour_store, scenario)


def test_a_caller_who_wants_no_trace_gets_none_of_its_frames(colour_store: Path) -> None:
    async def scenario(app: App, kept: Kept) -> None:
        socket, named = await opened(app, headers=NOT_SAMPLED)
        assert named.endswith("-00")
        socket.sends(RED)
        assert (await socket.event())["type"] == "result"
        await socket.leaves()
        assert kept.spans() == []

    play(colour_store, scenario)


def test_a_sampled_stream_has_no_more_frames_sampled_than_the_ratio_says(colour_store: Path) -> None:
    async def scenario(app: App, kept: Kept) -> None:
        socket, _ = await opened(app, headers=SAMPLED)
        socket.sends(RED)
        assert (await socket.event())["type"] == "result"
        await socket.leaves()
        assert [span.name for span in kept.spans()] == [SESSION]

    play(colour_store, scenario, trace_ratio=0.0)


def test_a_refused_handshake_is_a_span_with_its_code(colour_store: Path) -> None:
    async def scenario(app: App, kept: Kept) -> None:
        socket = AppSocket(app, "model=nobody")
        told = await socket.hears()
        assert (told["type"], told["status"]) == ("websocket.http.response.start", 404)
        assert b"traceresponse" in dict(told["headers"])
        assert (await socket.hears())["type"] == "websocket.http.response.body"
        await socket.leaves()
        assert attributes(kept.one(SESSION))["quickeye.code"] == "unknown_model"

    play(colour_store, scenario)
