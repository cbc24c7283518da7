"""Frames through a served model: superseded undecoded, never late, the same whatever the number of instances."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from server.admission import BatchLimits
from server.batcher import Clock
from server.errors import DeadlineExceededError, OverloadedError, SupersededError
from server.frame_history import FrameHistory
from server.job import Job
from server.metrics import Metrics, ModelMetrics
from server.served_model import LoadedModel, ServedModel
from tests.server.gated_backend import WAIT_S, GatedBackend, loaded_with
from tests.server.jobs import HandClock
from tests.server.mean_colour import SIDE, expected_logits
from tests.server.test_served_model import encoded_job, png

LONG_S = 60.0


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """The bundle, without an engine."""
    return loaded_with(tmp_path_factory.mktemp("store"), [])


@pytest.fixture
def backend() -> GatedBackend:
    return GatedBackend()


@pytest.fixture
def loaded(on_disk: LoadedModel, backend: GatedBackend) -> LoadedModel:
    return replace(on_disk, backends=(backend,))


@asynccontextmanager
async def served(loaded: LoadedModel, clock: Clock = time.monotonic, **limits: float) -> AsyncIterator[ServedModel]:
    bounds = BatchLimits(**{"max_batch_size": loaded.max_batch_size, **limits})  # type: ignore[arg-type]
    model = ServedModel(loaded, bounds, ModelMetrics(Metrics(lambda: ()), "mean_colour", 3), clock)
    model.start()
    try:
        yield model
    finally:
        for backend in loaded.backends:
            if isinstance(backend, GatedBackend):
                backend.gate.set()
        await model.close()


def pixels(colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.full((SIDE, SIDE, 3), colour, np.uint8)


def frame(colour: tuple[int, int, int] = (200, 0, 0), stream: object = "s", within_s: float = LONG_S) -> Job:
    return Job(pixels(colour), None, time.monotonic() + within_s, stream=stream)


async def until_running(backend: GatedBackend) -> None:
    assert await asyncio.to_thread(backend.entered.acquire, True, WAIT_S)


def test_a_superseded_frame_is_told_so_at_once_and_never_decoded(loaded: LoadedModel, backend: GatedBackend) -> None:
    async def scenario() -> None:
        async with served(loaded) as model:
            backend.gate.clear()
            running = model.submit_frame(frame())
            await until_running(backend)
            broken = encoded_job(png((200, 0, 0))[:-30])
            broken.stream = "s"
            newest = frame((0, 200, 0))
            first = model.submit_frame(broken, None)
            second = model.submit_frame(newest, broken)
            assert first.done()
            with pytest.raises(SupersededError):
                await first
            assert len(broken.picture) == 0, "its bytes are given back"
            assert model.unanswered == 2
            backend.gate.set()
            assert (await running).best.label == "red"
            assert (await second).best.label == "green"
            assert model.unanswered == 0

    asyncio.run(scenario())
    assert backend.batches == [1, 1]


def test_what_is_being_run_is_not_superseded(loaded: LoadedModel, backend: GatedBackend) -> None:
    async def scenario() -> None:
        async with served(loaded) as model:
            backend.gate.clear()
            job = frame()
            running = model.submit_frame(job)
            await until_running(backend)
            newer = model.submit_frame(frame((0, 0, 9)), job)
            backend.gate.set()
            assert [(await future).best.label for future in (running, newer)] == ["red", "blue"]

    asyncio.run(scenario())


def test_a_frame_of_another_model_is_left_alone(on_disk: LoadedModel) -> None:
    """As when a new version took a model's place while the stream goes on."""
    first, second = GatedBackend(), GatedBackend()

    async def scenario() -> None:
        async with (
            served(replace(on_disk, backends=(first,))) as old,
            served(replace(on_disk, backends=(second,))) as new,
        ):
            first.gate.clear()
            blocking = old.submit_frame(frame(stream="other"))
            await until_running(first)
            waiting = frame()
            left_behind = old.submit_frame(waiting)
            assert (await new.submit_frame(frame((0, 200, 0)), waiting)).best.label == "green"
            first.gate.set()
            assert [(await future).best.label for future in (blocking, left_behind)] == ["red", "red"]

    asyncio.run(scenario())


def test_a_refused_frame_leaves_nothing_behind_and_the_older_waits_on(
    loaded: LoadedModel, backend: GatedBackend
) -> None:
    async def scenario() -> None:
        async with served(loaded, max_queue_bytes=SIDE * SIDE * 3) as model:
            backend.gate.clear()
            running = model.submit_frame(frame())
            await until_running(backend)
            older = frame((0, 200, 0))
            waiting = model.submit_frame(older)
            with pytest.raises(OverloadedError):
                model.submit_frame(frame(stream="another"))
            assert model.unanswered == 2
            backend.gate.set()
            await running
            assert (await waiting).best.label == "green"

    asyncio.run(scenario())


def test_an_answer_that_comes_after_the_deadline_is_never_told(loaded: LoadedModel, backend: GatedBackend) -> None:
    """Even if the loop was too busy to notice the time: here, the deadline's timer never gets its turn."""
    clock = HandClock()

    async def scenario() -> None:
        async with served(loaded, clock) as model:
            backend.gate.clear()
            job = frame()
            job.deadline_s = 10.0
            future = model.submit_frame(job)
            await until_running(backend)
            clock.now_s = 10.1
            backend.gate.set()
            with pytest.raises(DeadlineExceededError):
                await future
            assert model.unanswered == 0

    asyncio.run(scenario())


def test_a_frame_that_waits_too_long_ends_and_the_next_keeps_its_turn(
    loaded: LoadedModel, backend: GatedBackend
) -> None:
    async def scenario() -> None:
        async with served(loaded, max_batch_size=1) as model:
            backend.gate.clear()
            running = model.submit_frame(frame(stream="a"))
            await until_running(backend)
            stale = frame(stream="b", within_s=0.02)
            waiting = model.submit_frame(stale)
            last = model.submit_frame(frame(stream="c"))
            with pytest.raises(DeadlineExceededError):
                await waiting
            order: list[str] = []
            next_one = model.submit_frame(frame(stream="b"), stale)
            for name, future in (("b", next_one), ("c", last)):
                future.add_done_callback(lambda _, name=name: order.append(name))
            backend.gate.set()
            await asyncio.gather(running, next_one, last)
            assert order == ["b", "c"]

    asyncio.run(scenario())


Colour = tuple[int, int, int]


def as_told_one_by_one(colours: list[Colour], gate: float, smoothing: float) -> list[tuple[list[float], bool]]:
    """What each frame is told, by numpy: a flat picture's thumbnail is its colour."""
    told: list[tuple[list[float], bool]] = []
    last: NDArray[np.float64] | None = None
    average = np.zeros(3)
    for colour in colours:
        here = np.array(colour, np.float64)
        if last is not None and gate and np.abs(here - last).mean() <= gate:
            told.append((average.tolist(), True))
            continue
        logits = expected_logits(pixels(colour)[None])[0].astype(np.float64)
        own = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        cut = last is None or np.abs(here - last).mean() > 30.0
        average = own if cut else smoothing * average + (1 - smoothing) * own
        told.append((average.tolist(), False))
        last = here
    return told


near = st.integers(100, 112)
colours = st.lists(st.one_of(st.tuples(near, near, near), st.just((250, 0, 0))), min_size=1, max_size=25)


@settings(max_examples=50, deadline=None)
@given(colours, st.integers(1, 3), st.sampled_from([0.0, 2.0]), st.sampled_from([0.0, 0.6]))
def test_a_stream_with_a_history_is_told_the_same_by_any_number_of_instances(
    on_disk: LoadedModel, frames: list[Colour], instances: int, gate: float, smoothing: float
) -> None:
    """All its frames at once, among posts, on real threads: as if one came after the other."""
    backends = [GatedBackend() for _ in range(instances)]
    loaded = replace(on_disk, backends=tuple(backends))

    async def scenario() -> None:
        async with served(loaded, max_queue_wait_s=LONG_S) as model:
            history = FrameHistory(gate, smoothing)
            jobs = [frame(colour) for colour in frames]
            for job in jobs:
                job.history = history
            futures = [model.submit_frame(job) for job in jobs]
            posts = [model.submit(Job(pixels((0, 0, 9)), None, time.monotonic() + LONG_S)) for _ in range(5)]
            for future, (scores, reused) in zip(futures, as_told_one_by_one(frames, gate, smoothing), strict=True):
                answer = await future
                by_class = {one.index: one.score for one in answer.predictions}
                assert [by_class[index] for index in range(3)] == pytest.approx(scores, abs=1e-5)
                assert answer.reused == reused
            assert {(await post).best.label for post in posts} == {"blue"}

    asyncio.run(scenario())
