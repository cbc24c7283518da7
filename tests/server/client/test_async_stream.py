"""Streams on an event loop, against a server that does what it is told."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from server.client import (
    AsyncClient,
    AsyncStream,
    ConfigChanged,
    Dropped,
    Event,
    FrameError,
    FrameTooLargeError,
    Ready,
    RefusedError,
    Result,
    Stats,
    StreamClosedError,
    TimedOutError,
    Timeouts,
    UnexpectedReplyError,
    UnreachableError,
    UnreadEventsError,
)
from tests.server.client.stream_double import ABORT, Refused, StreamDouble, dropped, failed
from tests.server.running import free_port

SHORT = Timeouts(open_s=5.0, answer_s=0.05, close_s=1.0)


def play(double: StreamDouble, scene: Callable[[AsyncClient], Coroutine[Any, Any, None]]) -> None:
    """Run a scene against the double, on one loop."""

    async def run() -> None:
        async with asyncio.timeout(20), double.serving() as url, AsyncClient(url, key="secret") as client:
            await scene(client)

    asyncio.run(run())


async def rest(stream: AsyncStream) -> list[Event]:
    return [event async for event in stream]


def numbers(events: list[Event], kind: type[Result | Dropped | FrameError]) -> list[int | None]:
    return [event.seq for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("format", ["json", "msgpack"])
def test_every_frame_has_its_result_in_both_formats(format: Any) -> None:  # noqa: ANN401
    double = StreamDouble()

    async def scene(client: AsyncClient) -> None:
        async with client.stream(policy="all", model="shoes", top_k=3, only_changed=True, format=format) as stream:
            sent = [await stream.send(f"frame {n}".encode(), captured_at=n / 2) for n in range(30)]
            stats = await stream.end()
            events = await rest(stream)
        assert isinstance(events[0], Ready)
        assert (sent, numbers(events, Result)) == (list(range(1, 31)),) * 2
        assert events[-1] == stats
        labels = [(e.best.label, e.captured_at) for e in events if isinstance(e, Result) and e.best]
        assert labels == [(f"frame {n}", n / 2) for n in range(30)]
        assert stream.ready == events[0]

    play(double, scene)
    assert double.query == {"policy": ["all"], "model": ["shoes"], "top_k": ["3"], "only_changed": ["true"]}
    assert double.requests[0].headers["Authorization"] == "Bearer secret"
    assert double.requests[0].headers["Sec-WebSocket-Protocol"] == f"quickeye.{format}"
    assert "Sec-WebSocket-Extensions" not in double.requests[0].headers


def test_all_waits_for_room() -> None:
    double = StreamDouble(held=True, max_inflight=3)

    async def scene(client: AsyncClient) -> None:
        async with client.stream(policy="all") as stream:
            for n in range(4):
                await stream.send(f"{n}".encode())
            fifth = asyncio.create_task(stream.send(b"4"))
            await asyncio.to_thread(lambda: [double.came.acquire() for _ in range(3)])
            assert len(double.frames) == 3
            assert not fifth.done()
            double.release()
            assert await fifth == 5
            await stream.end()
            assert numbers(await rest(stream), Result) == [1, 2, 3, 4, 5]

    play(double, scene)


def test_latest_replaces_what_has_not_left() -> None:
    double = StreamDouble(held=True)

    async def scene(client: AsyncClient) -> None:
        async with client.stream(policy="latest") as stream:
            for n in range(2):
                await stream.send(f"{n}".encode())
                await asyncio.to_thread(double.came.acquire)
            for n in range(2, 10):
                await stream.send(f"{n}".encode())
            double.release()
            await stream.end()
            events = await rest(stream)
        assert numbers(events, Result) == [1, 2, 10]
        assert numbers(events, Dropped) == [3, 4, 5, 6, 7, 8, 9]
        assert all(not event.sent for event in events if isinstance(event, Dropped))
        assert [frame.data for frame in double.frames] == [b"0", b"1", b"9"]

    play(double, scene)


def test_drops_and_errors_of_the_server_free_the_window_too() -> None:
    double = StreamDouble(
        max_inflight=1,
        answer=lambda frame: dropped(frame, "stale") if frame.seq % 2 else failed(frame, "image_too_large", "no"),
    )

    async def scene(client: AsyncClient) -> None:
        async with client.stream(policy="all") as stream:
            for _ in range(4):
                await stream.send(b"x")
            await stream.end()
            events = await rest(stream)
        assert (numbers(events, Dropped), numbers(events, FrameError)) == ([1, 3], [2, 4])

    play(double, scene)


def test_control_messages_are_answered_or_refused() -> None:
    double = StreamDouble()

    async def scene(client: AsyncClient) -> None:
        async with client.stream() as stream:
            changed = await stream.configure(policy="all", threshold=None, gate=2.5)
            assert isinstance(changed, ConfigChanged)
            assert (changed.options.policy, changed.options.gate) == ("all", 2.5)
            await stream.send(b"x")
            both = await asyncio.gather(stream.stats(), stream.configure(top_k=1))
            assert [type(answer) for answer in both] == [Stats, ConfigChanged]
            double.config_error = "no option 'topk'"
            with pytest.raises(RefusedError, match="no option") as refused:
                await stream.configure(top_k=0)
            assert (refused.value.code, refused.value.status) == ("invalid_request", None)
            await stream.end()
            kinds = [type(event) for event in await rest(stream)]
            assert (kinds.count(ConfigChanged), kinds.count(Stats)) == (2, 1)

    play(double, scene)
    assert double.controls[0] == {"type": "config", "policy": "all", "threshold": None, "gate": 2.5}


@pytest.mark.parametrize(
    ("code", "transient"), [(ABORT, True), (1001, True), (1008, False), (1009, False), (1013, True), (4000, False)]
)
def test_a_stream_that_breaks_says_why_and_which_frames_are_unanswered(code: int, transient: bool) -> None:
    double = StreamDouble(breaks={0: (2, code)})

    async def scene(client: AsyncClient) -> None:
        async with client.stream(policy="all", max_inflight=1) as stream:
            for _ in range(3):
                await stream.send(b"x")
            events = []
            with pytest.raises(StreamClosedError) as closed:
                async for event in stream:
                    events.append(event)  # noqa: PERF401 (what came before the break counts)
            assert numbers(events, Result) == [1, 2]
            assert closed.value.close_code == (code or 1006)
            assert (closed.value.transient, closed.value.unanswered) == (transient, (3,))
            assert isinstance(closed.value, ConnectionError)
            assert code == ABORT or "as told" in str(closed.value)
            for call in (stream.send(b"x"), stream.stats(), stream.receive(), stream.end()):
                with pytest.raises(StreamClosedError):
                    await call

    play(double, scene)


@pytest.mark.parametrize(
    ("refused", "code", "transient", "retry_after_s"),
    [
        (Refused(401, "unauthorized"), "unauthorized", False, None),
        (Refused(429, "overloaded", "2"), "overloaded", True, 2.0),
        (Refused(503, "draining", "1"), "draining", True, 1.0),
        (Refused(404, None), "http_404", False, None),
        (Refused(502, None), "http_502", True, None),
        (Refused(200, None), "http_200", False, None),
    ],
)
def test_a_refused_handshake_says_why(
    refused: Refused, code: str, transient: bool, retry_after_s: float | None
) -> None:
    async def scene(client: AsyncClient) -> None:
        with pytest.raises(RefusedError) as error:
            async with client.stream(policy="all"):
                pass
        assert (error.value.status, error.value.code, error.value.transient) == (refused.status, code, transient)
        assert error.value.retry_after_s == retry_after_s

    play(StreamDouble(refusals=[refused]), scene)


def test_another_server_is_recognised() -> None:
    async def scene(client: AsyncClient) -> None:
        with pytest.raises(UnexpectedReplyError, match="Quickeye"):
            async with client.stream():
                pass

    play(StreamDouble(first="welcome to the chat"), scene)
    play(StreamDouble(first={"type": "pong"}), scene)


def test_nobody_there() -> None:
    async def scene() -> None:
        with pytest.raises(UnreachableError, match="Connection refused"):
            async with AsyncClient(f"http://127.0.0.1:{free_port()}").stream():
                pass

    asyncio.run(scene())


def test_a_server_that_says_nothing_is_given_up() -> None:
    double = StreamDouble(held=True, max_inflight=1)

    async def scene(client: AsyncClient) -> None:
        async with client.stream(policy="all", timeouts=SHORT) as stream:
            for _ in range(2):
                await stream.send(b"x")
            with pytest.raises(TimedOutError, match="no frame was answered"):
                await stream.send(b"x")
            with pytest.raises(TimedOutError, match="rest of the stream"):
                await stream.end()

    play(double, scene)


def test_events_that_nobody_reads_stop_the_sending() -> None:
    async def scene(client: AsyncClient) -> None:
        async with client.stream(policy="all", max_unread=5, timeouts=Timeouts(answer_s=0.5)) as stream:
            with pytest.raises(UnreadEventsError, match="iterate over the stream"):
                for _ in range(50):
                    await stream.send(b"x")
            assert isinstance(await stream.receive(), Ready)
        async with client.stream(policy="latest", max_unread=5, max_inflight=1) as stream:
            with pytest.raises(UnreadEventsError):
                for _ in range(50):
                    await stream.send(b"x")

    play(StreamDouble(), scene)


def test_a_frame_that_is_too_large_is_not_sent_and_the_stream_goes_on() -> None:
    double = StreamDouble(max_frame_bytes=10)

    async def scene(client: AsyncClient) -> None:
        async with client.stream(policy="all") as stream:
            with pytest.raises(FrameTooLargeError):
                await stream.send(bytes(11))
            assert await stream.send(bytes(10)) == 1
            await stream.end()

    play(double, scene)
    assert [len(frame.data) for frame in double.frames] == [10]


def test_receive_returns_nothing_when_nothing_comes_and_after_the_end() -> None:
    async def scene(client: AsyncClient) -> None:
        async with client.stream(policy="all") as stream:
            assert isinstance(await stream.receive(0), Ready)
            assert await stream.receive(0.01) is None
            waiting = asyncio.create_task(stream.receive())
            await stream.send(b"x")
            assert isinstance(await waiting, Result)
            await stream.end()
            assert isinstance(await stream.receive(), Stats)
            assert await stream.receive() is None
            with pytest.raises(RuntimeError, match="ended"):
                await stream.send(b"x")
        assert await stream.receive() is None

    play(StreamDouble(), scene)


def test_leaving_early_closes_and_says_so() -> None:
    double = StreamDouble(held=True)

    async def scene(client: AsyncClient) -> None:
        async with client.stream() as stream:
            await stream.send(b"x")
        with pytest.raises(StreamClosedError, match="closed here"):
            await rest(stream)
        with pytest.raises(RuntimeError, match="opened once"):
            await stream.__aenter__()
        with pytest.raises(RuntimeError, match="inside 'with"):
            await client.stream().send(b"x")

    play(double, scene)
