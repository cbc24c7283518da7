"""Both clients and a real server: what is sent is understood, what comes back is as declared."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from server.client import (
    AsyncClient,
    Client,
    Event,
    FrameError,
    Prediction,
    Ready,
    RefusedError,
    Result,
    Stats,
    StreamClosedError,
)
from server.client.stream_target import Format
from tests.server.client.either_client import KINDS, call
from tests.server.posting import GREEN, RED, flat
from tests.server.running import Running, serving

BLUE = flat(10, 10, 250)


@pytest.fixture(scope="module")
def guarded(colour_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that asks for a key."""
    folder = tmp_path_factory.mktemp("guarded")
    with serving(folder, "--store", str(colour_store), "--backend", "onnxruntime", "--api-key", "sesame") as running:
        yield running


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_and_the_catalogue(kind: str, server: Running) -> None:
    one = call(kind, server.url, "predict", RED, top_k=2)
    assert one.best.label == "red"
    assert (one.model, one.version, len(one.results[0].predictions)) == ("mean_colour", 2, 2)
    assert (one.results[0].width, one.results[0].height) == (40, 30)
    assert 0 < one.results[0].timing_ms.total <= one.total_ms
    many = call(kind, server.url, "predict", [GREEN, b"no picture", BLUE], model="mean_colour", version=2)
    assert [result.best and result.best.label for result in many.results] == ["green", None, "blue"]
    assert many.results[1].error.code == "undecodable_image"
    assert call(kind, server.url, "predict", RED, threshold=2.0).best is None
    (model,) = call(kind, server.url, "models")
    assert (model.reference, model.classes, model.state, model.entry["task"]) == (
        "mean_colour/2", 3, "ready", "classification",
    )  # fmt: skip
    assert call(kind, server.url, "ready") is True


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_pictures_too(kind: str, server: Running) -> None:
    red, green = (np.full((30, 40, 3), colour, np.uint8) for colour in ((250, 10, 10), (10, 250, 10)))
    one = call(kind, server.url, "predict", red)
    assert (one.best.label, one.results[0].width, one.results[0].height) == ("red", 40, 30)
    several = call(kind, server.url, "predict", np.stack([green, red, green]))
    assert [result.best.label for result in several.results] == ["green", "red", "green"]
    mixed = call(kind, server.url, "predict", [green[::-1, ::2], RED])
    assert [result.best.label for result in mixed.results] == ["green", "red"]
    assert mixed.results[0].width == 20
    grey = call(kind, server.url, "predict", red[:, :, 0])
    assert len(grey.results) == 1 and grey.results[0].error is None
    with pytest.raises(RefusedError, match="undecodable_image"):
        call(kind, server.url, "predict", np.zeros((3, 30, 40), np.uint8))


@pytest.mark.parametrize("kind", KINDS)
def test_refusals(kind: str, server: Running, guarded: Running) -> None:
    wrong: list[tuple[dict[str, object], str]] = [
        ({"model": "nope"}, "unknown_model"),
        ({"top_k": 0}, "invalid_request"),
        ({"explain": "cam"}, "invalid_request"),
    ]
    for arguments, code in wrong:
        with pytest.raises(RefusedError) as error:
            call(kind, server.url, "predict", RED, **arguments)
        assert error.value.code == code
    with pytest.raises(RefusedError, match="unauthorized"):
        call(kind, guarded.url, "predict", RED)
    assert call(kind, guarded.url, "predict", RED, client={"key": "sesame"}).best.label == "red"


@pytest.mark.parametrize("format", ["json", "msgpack"])
def test_a_stream_from_its_handshake_to_its_end(server: Running, format: Format) -> None:
    with Client(server.url) as client, client.stream(policy="all", top_k=1, format=format) as stream:
        assert (stream.ready.model, stream.ready.options.policy, stream.ready.options.top_k) == (
            "mean_colour",
            "all",
            1,
        )
        pixels = np.full((30, 40, 3), (10, 250, 10), np.uint8)
        sent = [stream.send(data, captured_at=n) for n, data in enumerate([RED, pixels, b"no picture", BLUE])]
        stats = stream.end()
        events = list(stream)
    ready, *between, last = events
    assert isinstance(ready, Ready)
    assert last == stats
    results = {event.seq: event for event in between if isinstance(event, Result)}
    assert [results[seq].predictions[0].label for seq in (1, 2, 4)] == ["red", "green", "blue"]
    assert [results[seq].captured_at for seq in (1, 2, 4)] == [0.0, 1.0, 3.0]
    (error,) = (event for event in between if isinstance(event, FrameError))
    assert (error.seq, error.code, sent) == (3, "undecodable_image", [1, 2, 3, 4])
    assert (stats.frames, stats.results, stats.errors) == (4, 3, 1)
    first = results[1]
    assert first.round_trip_ms is not None
    assert 0 < first.age_ms <= first.round_trip_ms


def test_options_change_under_way(server: Running) -> None:
    async def scene() -> None:
        async with AsyncClient(server.url).stream(policy="all", top_k=3) as stream:
            await stream.send(RED)
            assert isinstance(await stream.receive(), Ready)
            before = await stream.receive()
            changed = await stream.configure(top_k=1, threshold=None, only_changed=True)
            assert changed.options.only_changed
            with pytest.raises(RefusedError, match="top_k"):
                await stream.configure(top_k=0)
            assert (await stream.stats()).results == 1
            for data in (RED, RED, GREEN):
                await stream.send(data)
            await stream.end()
            after = [event async for event in stream if isinstance(event, Result)]
            assert isinstance(before, Result)
            assert (len(before.predictions), [event.unchanged for event in after][-2:]) == (3, [True, False])
            told = after[-1].best
            assert isinstance(told, Prediction)
            assert told.label == "green"

    asyncio.run(scene())


@pytest.mark.parametrize(("options", "code"), [({"model": "nope"}, "unknown_model"), ({"top_k": 0}, "invalid_request")])
def test_a_stream_that_is_refused(server: Running, options: dict[str, object], code: str) -> None:
    with pytest.raises(RefusedError) as error, Client(server.url).stream(**options):  # type: ignore[arg-type]
        pass
    assert (error.value.code, error.value.transient) == (code, False)


def test_a_stream_needs_the_key(guarded: Running) -> None:
    with pytest.raises(RefusedError, match="unauthorized"), Client(guarded.url).stream():
        pass
    with Client(guarded.url, key="sesame").stream(policy="all") as stream:
        stream.send(RED)
        assert stream.end().results == 1


def test_a_server_that_stops_says_so(colour_store: Path, tmp_path: Path) -> None:
    with (
        serving(tmp_path, "--store", str(colour_store), "--backend", "onnxruntime") as running,
        Client(running.url).stream(policy="all") as stream,
    ):
        stream.send(RED)
        running.terminate()
        events: list[Event] = []
        with pytest.raises(StreamClosedError) as closed:
            events.extend(stream)
        assert (closed.value.close_code, closed.value.transient, closed.value.unanswered) == (1001, True, ())
        assert [type(event) for event in events] == [Ready, Result, Stats]
        assert running.ended() == 0
