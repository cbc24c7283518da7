"""A served model on an event loop: every job ends once, with its own answer, whatever happens around it."""

import asyncio
import contextlib
import gc
import time
import weakref
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from model_zoo.errors import UndecodableImageError
from model_zoo.header import Header, PictureLimits, read_header
from model_zoo.preprocess import PrepareTimes, prepare
from model_zoo.spec import InputSpec
from server.admission import BatchLimits
from server.backends.errors import BackendError
from server.errors import DeadlineExceededError, DrainingError, InternalError, OverloadedError
from server.job import Job, JobOptions
from server.metrics import Metrics, ModelMetrics
from server.served_model import LoadedModel, ServedModel
from tests.pictures import encode
from tests.server.gated_backend import WAIT_S, GatedBackend, Outputs, loaded_with
from tests.server.mean_colour import SIDE, expected_logits

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


@contextlib.asynccontextmanager
async def served(loaded: LoadedModel, **limits: float) -> AsyncIterator[ServedModel]:
    bounds = BatchLimits(**{"max_batch_size": loaded.max_batch_size, **limits})  # type: ignore[arg-type]
    model = ServedModel(loaded, bounds, ModelMetrics(Metrics(lambda: ()), "mean_colour", 3))
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


def job_of(colour: tuple[int, int, int] = (200, 0, 0), within_s: float = LONG_S) -> Job:
    """Pixels already at the model's input size: nothing to decode."""
    return Job(pixels(colour), None, time.monotonic() + within_s)


def encoded_job(data: bytes) -> Job:
    return Job(data, read_header(data, PictureLimits()), time.monotonic() + LONG_S)


def png(colour: tuple[int, int, int]) -> bytes:
    return encode(Image.new("RGB", (20, 30), colour), "png")


async def until_running(backend: GatedBackend) -> None:
    assert await asyncio.to_thread(backend.entered.acquire, True, WAIT_S)


async def occupy(model: ServedModel, backend: GatedBackend) -> "asyncio.Future[object]":
    """Close the gate behind one job: what is submitted next must wait."""
    backend.gate.clear()
    future = model.submit(job_of())
    await until_running(backend)
    return future  # type: ignore[return-value]


def test_a_picture_gets_its_answer(loaded: LoadedModel, backend: GatedBackend) -> None:
    async def scenario() -> None:
        async with served(loaded) as model:
            answer = await model.submit(job_of((0, 200, 0)))
            assert answer.best.label == "green"
            assert answer.batch_size == 1
            assert model.unanswered == 0

    asyncio.run(scenario())
    assert backend.batches == [1]


def test_a_deadline_that_passes_while_running_drops_the_late_answer(loaded: LoadedModel, backend: GatedBackend) -> None:
    async def scenario() -> None:
        async with served(loaded) as model:
            backend.gate.clear()
            late = model.submit(job_of(within_s=0.02))
            with pytest.raises(DeadlineExceededError):
                await late
            assert model.unanswered == 0
            backend.gate.set()
            assert (await model.submit(job_of((0, 0, 9)))).best.label == "blue"
            assert isinstance(late.exception(), DeadlineExceededError), "the answer that came later changed nothing"

    asyncio.run(scenario())


def test_a_deadline_that_passes_while_waiting_costs_no_run(loaded: LoadedModel, backend: GatedBackend) -> None:
    async def scenario() -> None:
        async with served(loaded) as model:
            first = await occupy(model, backend)
            waiting = model.submit(job_of(within_s=0.02))
            with pytest.raises(DeadlineExceededError):
                await waiting
            assert model.batcher.counts() == (0, 1)
            backend.gate.set()
            await first

    asyncio.run(scenario())
    assert backend.batches == [1]


def test_an_abandoned_job_is_not_run_and_its_neighbours_are(loaded: LoadedModel, backend: GatedBackend) -> None:
    async def scenario() -> None:
        async with served(loaded) as model:
            first = await occupy(model, backend)
            jobs = [job_of(), job_of((0, 0, 200))]
            (gone, kept), must_wait = model.submit_all(jobs)
            assert must_wait
            model.abandon(jobs[:1])
            assert gone.cancelled()
            assert len(jobs[0].picture) == 0, "its bytes are given back at once"
            backend.gate.set()
            assert (await kept).best.label == "blue"
            await first
            assert model.unanswered == 0

    asyncio.run(scenario())
    assert backend.batches == [1, 1]


def test_abandoning_what_runs_drops_its_answer(loaded: LoadedModel, backend: GatedBackend) -> None:
    async def scenario() -> None:
        async with served(loaded) as model:
            backend.gate.clear()
            job = job_of()
            future = model.submit(job)
            await until_running(backend)
            model.abandon([job])
            model.abandon([job])
            assert future.cancelled()
            assert model.unanswered == 0
            backend.gate.set()
            assert (await model.submit(job_of())).best.label == "red"

    asyncio.run(scenario())


def one_row_less(outputs: Outputs) -> Outputs:
    return tuple(output[:-1] for output in outputs)


def one_row_more(outputs: Outputs) -> Outputs:
    return tuple(np.concatenate([output, output[:1]]) for output in outputs)


def not_a_number(outputs: Outputs) -> Outputs:
    return tuple(np.full_like(output, np.nan) for output in outputs)


def engine_failure(outputs: Outputs) -> Outputs:
    raise BackendError("the engine failed")


def foreign_failure(outputs: Outputs) -> Outputs:
    raise RuntimeError("out of something")


@pytest.mark.parametrize(
    "fault",
    [
        one_row_less,
        one_row_more,
        not_a_number,
        lambda outputs: (),
        lambda outputs: outputs * 2,
        engine_failure,
        foreign_failure,
    ],
)
def test_a_batch_that_goes_wrong_is_internal_and_the_next_is_fine(
    loaded: LoadedModel, backend: GatedBackend, fault: Callable[[Outputs], Outputs]
) -> None:
    async def scenario() -> None:
        async with served(loaded) as model:
            first = await occupy(model, backend)
            futures = [model.submit(job_of()) for _ in range(3)]
            backend.fault = fault
            backend.gate.set()
            for future in [first, *futures]:
                with pytest.raises(InternalError):
                    await future
            backend.fault = None
            assert (await model.submit(job_of((0, 200, 0)))).best.label == "green"
            assert model.unanswered == 0

    asyncio.run(scenario())


def test_a_bad_picture_fails_alone_in_its_batch(loaded: LoadedModel, backend: GatedBackend) -> None:
    good, broken = png((0, 200, 0)), png((200, 0, 0))[:-30]

    async def scenario() -> None:
        async with served(loaded) as model:
            for images in (1, loaded.max_batch_size):
                model.batcher.learn(images, 0.01)  # the larger, the cheaper each picture: all four go together
            first = await occupy(model, backend)
            futures = [model.submit(encoded_job(data)) for data in (good, broken, good, good)]
            backend.gate.set()
            await first
            with pytest.raises(UndecodableImageError):
                await futures.pop(1)
            for future in futures:
                answer = await future
                assert (answer.best.label, answer.batch_size) == ("green", 3)

    asyncio.run(scenario())
    assert backend.batches == [1, 3]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("a decoder's fault"), ValueError("odd")])
def test_a_fault_while_decoding_is_that_picture_s_alone(
    loaded: LoadedModel, backend: GatedBackend, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    poison = png((1, 2, 3))

    def fails_on_poison(data: bytes, header: Header, spec: InputSpec, times: PrepareTimes) -> NDArray[np.uint8]:
        if data == poison:
            raise error
        return prepare(data, header, spec, times)

    monkeypatch.setattr("server.preparation.prepare", fails_on_poison)

    async def scenario() -> None:
        async with served(loaded) as model:
            first = await occupy(model, backend)
            futures = [model.submit(encoded_job(data)) for data in (poison, png((0, 0, 200)))]
            backend.gate.set()
            await first
            with pytest.raises(InternalError):
                await futures[0]
            assert (await futures[1]).best.label == "blue"

    asyncio.run(scenario())


def test_a_fault_of_the_metrics_does_not_end_an_instance(
    loaded: LoadedModel, backend: GatedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no more labels")

    monkeypatch.setattr(ModelMetrics, "batch", fails)

    async def scenario() -> None:
        async with served(loaded) as model:
            for _ in range(3):
                assert (await model.submit(job_of())).best.label == "red"

    asyncio.run(scenario())


def test_what_is_too_much_is_refused_and_leaves_nothing_behind(loaded: LoadedModel, backend: GatedBackend) -> None:
    async def scenario() -> None:
        async with served(loaded, max_queue_images=2) as model:
            first = await occupy(model, backend)
            waiting = [model.submit(job_of()) for _ in range(2)]
            with pytest.raises(OverloadedError):
                model.submit(job_of())
            assert model.unanswered == 3
            backend.gate.set()
            for future in [first, *waiting]:
                await future
            assert model.unanswered == 0

    asyncio.run(scenario())


def test_drain_waits_for_what_was_admitted(loaded: LoadedModel, backend: GatedBackend) -> None:
    async def scenario() -> None:
        async with served(loaded) as model:
            futures = [await occupy(model, backend), model.submit(job_of())]
            assert await model.drain(0.0) == 2
            with pytest.raises(DrainingError):
                model.submit(job_of())
            drained = asyncio.ensure_future(model.drain(LONG_S))
            await asyncio.sleep(0)
            assert not drained.done()
            backend.gate.set()
            assert await drained == 0
            assert [future.done() for future in futures] == [True, True]

    asyncio.run(scenario())


def test_giving_up_tells_everybody_who_waits(loaded: LoadedModel, backend: GatedBackend) -> None:
    async def scenario() -> None:
        async with served(loaded) as model:
            futures = [await occupy(model, backend), model.submit(job_of())]
            model.give_up()
            for future in futures:
                with pytest.raises(DrainingError):
                    await future
            assert model.unanswered == 0

    asyncio.run(scenario())
    assert backend.batches == [1]


def test_closing_ends_the_threads_and_may_be_repeated(on_disk: LoadedModel) -> None:
    backends = [GatedBackend(), GatedBackend()]

    async def scenario() -> None:
        async with served(replace(on_disk, backends=tuple(backends))) as model:
            await model.submit(job_of())
            await model.close()
            await model.close()
            with pytest.raises(DrainingError):
                model.submit(job_of())
            assert not any(instance._thread.is_alive() for instance in model.instances)

    asyncio.run(scenario())
    assert all(backend.closed for backend in backends)


def test_an_engine_in_use_is_not_closed(loaded: LoadedModel, backend: GatedBackend) -> None:
    async def scenario() -> None:
        async with served(loaded) as model:
            stuck = await occupy(model, backend)
            await model.close(timeout_s=0.0)
            assert not backend.closed
            with pytest.raises(DrainingError):
                await stuck

    asyncio.run(scenario())
    assert backend.closed


def test_several_instances_work_side_by_side(on_disk: LoadedModel) -> None:
    backends = [GatedBackend(), GatedBackend()]

    async def scenario() -> None:
        async with served(replace(on_disk, backends=tuple(backends))) as model:
            for backend in backends:
                backend.gate.clear()
            futures = [model.submit(job_of()) for _ in backends]
            for backend in backends:
                await until_running(backend)
            for backend in backends:
                backend.gate.set()
            for future in futures:
                await future

    asyncio.run(scenario())
    assert [backend.batches for backend in backends] == [[1], [1]]


def test_an_idle_instance_holds_no_picture(loaded: LoadedModel) -> None:
    async def scenario() -> None:
        async with served(loaded) as model:
            picture = pixels((1, 2, 3))
            gone = weakref.ref(picture)
            future = model.submit(Job(picture, None, time.monotonic() + LONG_S))
            del picture
            await future
            for _ in range(2000):
                gc.collect()
                if gone() is None:
                    return
                await asyncio.sleep(0.001)
            raise AssertionError("the last picture is still in memory")

    asyncio.run(scenario())


Colour = tuple[int, int, int]
colours = st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))


@settings(max_examples=60, deadline=None)
@given(st.lists(colours, min_size=1, max_size=40), st.integers(1, 3), st.integers(1, 5), st.booleans())
def test_answers_are_never_swapped(
    on_disk: LoadedModel, pictures: list[Colour], instances: int, max_batch_size: int, slow: bool
) -> None:
    """Many pictures of known mean colour, on any number of instances: each gets the scores of its own colour."""
    backends = [GatedBackend() for _ in range(instances)]
    loaded = replace(on_disk, backends=tuple(backends), max_batch_size=max_batch_size)

    async def scenario() -> None:
        async with served(loaded, max_queue_wait_s=LONG_S) as model:
            for backend in backends if slow else ():
                backend.gate.clear()
            jobs = [Job(pixels(one), None, time.monotonic() + LONG_S, options=JobOptions(top_k=3)) for one in pictures]
            futures = [model.submit(job) for job in jobs]
            for backend in backends:
                backend.gate.set()
            for colour, future in zip(pictures, futures, strict=True):
                answer = await future
                logits = expected_logits(pixels(colour)[None])[0].astype(np.float64)
                softmax = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
                scores = {one.index: one.score for one in answer.predictions}
                assert [scores[index] for index in range(3)] == pytest.approx(list(softmax), abs=1e-5)
                assert answer.batch_size <= max_batch_size

    asyncio.run(scenario())
    assert sum(sum(backend.batches) for backend in backends) == len(pictures)
