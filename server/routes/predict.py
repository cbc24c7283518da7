"""``POST …/predict``: pictures in, classes out.

One request may hold several pictures; each is a job of its own, and each fails
alone. The request ends well when at least one picture did.
"""

import asyncio
import re
import time
from collections.abc import Sequence

import orjson

from model_zoo.errors import ModelZooError, UnknownModelError
from model_zoo.header import Header, PictureLimits, read_header
from server.body import Inflow, Picture, ReadPicture, pictures_in, read_body
from server.class_activation import refuse_unexplained
from server.errors import AbandonedError, OverloadedError, Refusal, ServingError, refusal_of
from server.exchange import Exchange
from server.job import Answer, Encoded, Job, PictureOutcome
from server.metrics import UNKNOWN_MODEL
from server.predict_options import PredictOptions, defaults, parse_options
from server.results import StagesMs, answered_result, failed_result, in_ms, server_timing, slowest_of, stages_ms
from server.routes import HotRoute, Routes
from server.routes.predict_openapi import predict_openapi
from server.served_model import ServedModel
from server.service import Service

PATTERN = re.compile(r"/v1/(?:models/(?P<model>[^/]+)/(?:versions/(?P<version>[^/]+)/)?)?predict")
OFF_LOOP_BYTES = 2**20  # parsing forms and JSON larger than this is left to a thread
MAX_VERSION_DIGITS = 9


def routes(service: Service) -> Routes:
    """The predict calls."""
    predict = Predict(service)
    return Routes(hot=(HotRoute("POST", PATTERN, predict),), openapi=predict_openapi(service.config))


class Predict:
    """The endpoint. One per server."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._config = service.config
        self._limits = PictureLimits(service.config.max_image_bytes, service.config.max_image_pixels)
        self._defaults = defaults(service.config)
        self._inflow = Inflow(service.config.max_arriving_bytes)

    async def __call__(self, exchange: Exchange, path: dict[str, str]) -> None:
        """Answer one request; counts it whatever happens."""
        name = UNKNOWN_MODEL
        try:
            model = self._model(path)
            name = model.spec.name
            await self._predict(exchange, model, path)
        except AbandonedError:
            exchange.status = 499
        except (ServingError, ModelZooError) as error:
            refusal = refusal_of(error)
            self._service.metrics.rejected.labels(name, refusal.code).inc()
            await exchange.refuse(refusal)
        finally:
            self._count(exchange, name)

    def _model(self, path: dict[str, str]) -> ServedModel:
        self._service.must_take_work()
        return self._find(path)

    def _find(self, path: dict[str, str]) -> ServedModel:
        version = path["version"]
        if version is not None and not (version.isascii() and version.isdigit() and len(version) <= MAX_VERSION_DIGITS):
            raise UnknownModelError(f"a version is a whole number, not {version[:40]!r}")
        return self._service.catalogue.find(path["model"], None if version is None else int(version))

    async def _predict(self, exchange: Exchange, model: ServedModel, path: dict[str, str]) -> None:
        self._service.keys.may_predict(exchange.headers)
        options = parse_options(exchange.query, self._config) if exchange.query else self._defaults
        refuse_unexplained(options.job.explain, model.spec)
        pictures = await self._pictures(exchange)
        model = self._find(path)  # again: another version may have taken its place while the body came
        refuse_unexplained(options.job.explain, model.spec)
        outcomes = await self._outcomes(exchange, model, pictures, options)
        await self._reply(exchange, model, outcomes)

    async def _pictures(self, exchange: Exchange) -> list[Picture]:
        config = self._config
        declared = exchange.headers.get(b"content-length")
        limits = config.max_body_bytes, config.body_timeout_s
        body = await read_body(exchange.receive, declared, *limits, self._inflow, exchange.peer)
        kind = exchange.headers.get(b"content-type", b"")
        most = config.max_images_per_request
        if len(body) > OFF_LOOP_BYTES and kind.startswith((b"multipart/", b"application/json")):
            return await asyncio.to_thread(pictures_in, body, kind, most, self._limits)
        return pictures_in(body, kind, most, self._limits)

    async def _outcomes(
        self, exchange: Exchange, model: ServedModel, pictures: Sequence[Picture], options: PredictOptions
    ) -> list[PictureOutcome]:
        """Admit every picture whose header is good, together; wait for all of them."""
        now_s = time.monotonic()
        headers: list[Header | PictureOutcome] = []
        jobs: list[Job] = []
        data: Encoded
        for picture in pictures:
            try:
                if isinstance(picture, ModelZooError):
                    raise picture
                if isinstance(picture, ReadPicture):
                    data, header = picture
                else:
                    data, header = picture, read_header(picture, self._limits)
            except ModelZooError as error:
                headers.append(self._unreadable(refusal_of(error)))
                continue
            headers.append(header)
            jobs.append(Job(data, header, now_s + options.timeout_s, options.priority, options.job))
        if len(jobs) > self._config.max_queue_images:
            raise OverloadedError(f"{len(jobs)} images are more than the queue holds ({self._config.max_queue_images})")
        if exchange.trace is not None:
            exchange.trace.admit(jobs, len(headers))
        answered = iter(await self._answers(exchange, model, jobs))
        outcomes = [each if isinstance(each, PictureOutcome) else next(answered) for each in headers]
        if exchange.trace is not None:
            submitted = [place for place, each in enumerate(headers) if not isinstance(each, PictureOutcome)]
            exchange.trace.answered(outcomes, dict(zip(submitted, jobs, strict=True)))
        return outcomes

    async def _answers(self, exchange: Exchange, model: ServedModel, jobs: list[Job]) -> list[PictureOutcome]:
        if not jobs:
            return []
        try:
            futures, must_wait = model.submit_all(jobs)
        except ServingError as error:
            self._service.metrics.images_of(model.spec.name, "http", error.code).inc(len(jobs))
            raise
        # What an instance has taken can't be saved any more: only a caller who waits in line is watched.
        watch = self._watch(exchange, model, jobs) if must_wait else None
        try:
            if len(futures) > 1:
                await asyncio.wait(futures)
            return [await _outcome(future) for future in futures]
        except asyncio.CancelledError:
            if any(future.cancelled() for future in futures):
                for future in futures:
                    _look_at(future)
                raise AbandonedError("the caller left before the answer") from None
            model.abandon(jobs)
            raise
        finally:
            if watch is not None:
                watch.cancel()

    def _watch(self, exchange: Exchange, model: ServedModel, jobs: list[Job]) -> "asyncio.Task[None] | None":
        if exchange.peer is not None:
            exchange.peer.watch(lambda: model.abandon(jobs))
            return None
        return asyncio.get_running_loop().create_task(self._abandon_on_disconnect(exchange, model, jobs))

    async def _abandon_on_disconnect(self, exchange: Exchange, model: ServedModel, jobs: list[Job]) -> None:
        while (await exchange.receive())["type"] != "http.disconnect":
            pass
        model.abandon(jobs)

    def _unreadable(self, refusal: Refusal) -> PictureOutcome:
        """A picture that was refused for its header."""
        self._service.metrics.header_refused(refusal.code)
        return PictureOutcome(None, refusal)

    async def _reply(self, exchange: Exchange, model: ServedModel, outcomes: list[PictureOutcome]) -> None:
        images = self._service.metrics.images_of
        name, version = model.spec.name, model.spec.version
        results: list[dict[str, object]] = []
        stages: list[StagesMs] = []
        batch_size = 0
        for one in outcomes:
            images(name, "http", "ok" if one.refusal is None else one.refusal.code).inc()
            if one.answer is None:
                results.append(failed_result(one.refusal))
                continue
            stages.append(stages_ms(one.answer.times))
            results.append(answered_result(one.answer, stages[-1], model.spec.input))
            batch_size = max(batch_size, one.answer.batch_size)
        record = exchange.record
        record["model"], record["version"], record["images"] = name, version, len(outcomes)
        if not stages and outcomes[0].refusal is not None:
            await exchange.refuse(outcomes[0].refusal, results=results)
            return
        slowest = slowest_of(stages)
        record["stages_ms"], record["batch_size"] = slowest, batch_size
        body = orjson.dumps(
            {
                "model": name,
                "version": version,
                "request_id": exchange.request_id,
                "timing_ms": {"total": in_ms(time.monotonic() - exchange.started_s)},
                "results": results,
            }
        )
        await exchange.reply(200, body, (b"server-timing", server_timing(slowest)))

    def _count(self, exchange: Exchange, name: str) -> None:
        metrics = self._service.metrics
        metrics.requests_of(name, "http", str(exchange.status or 500)).inc()
        metrics.duration_of(name, "http").observe(time.monotonic() - exchange.started_s, exchange.exemplar)


def _look_at(future: "asyncio.Future[Answer]") -> None:
    """An error that nobody looks at would be logged as forgotten."""
    if future.done() and not future.cancelled():
        future.exception()


async def _outcome(future: "asyncio.Future[Answer]") -> PictureOutcome:
    try:
        return PictureOutcome(await future, None)
    except (ServingError, ModelZooError) as error:
        return PictureOutcome(None, refusal_of(error))
