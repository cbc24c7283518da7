"""The models being served: by name and version, loaded and swapped without losing a job.

A name resolves to its newest loaded version. Where none is named the default model
answers: the first that was loaded, by its name; no other takes its place when it is
unloaded, for callers would get answers of another kind. Loading happens in a thread; the
swap is one assignment on the event loop; the version that was replaced answers
what it had admitted and is then closed.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Mapping

from model_zoo.bundle import Bundle
from model_zoo.errors import BundleError, UnknownModelError
from model_zoo.store import Store, parse_reference
from server.backends import BACKENDS
from server.backends.errors import BackendError, BackendUnavailableError
from server.backends.selection import UNCHECKED, takes
from server.batch_history import BatchHistories
from server.config import Config
from server.errors import ForbiddenError, InternalError, ModelUnavailableError
from server.freed_memory import give_back
from server.loading import backend_extra, batch_limits, load
from server.metrics import GaugeSample, Metrics, ModelMetrics
from server.served_model import LoadedModel, ServedModel
from server.tracing.contracts import BatchTraces
from server.warmup import warm_up

log = logging.getLogger("quickeye.catalogue")
_FOR_GPUS = "float bundles, and by onnxruntime.providers=tensorrt 8-bit ones that have a twin for it"


class Catalogue:
    """Name → version → served model. Owned by the event loop."""

    def __init__(self, config: Config, store: Store, metrics: Metrics, tracing: BatchTraces | None = None) -> None:
        self.store = store
        self.batches = BatchHistories() if config.debug else None
        self._config = config
        self._metrics = metrics
        self._tracing = tracing
        self._models: dict[str, dict[int, ServedModel]] = {}
        self._default: str | None = None
        self._last_load_ended_well: dict[str, bool] = {}
        self._loading = asyncio.Lock()
        self._retiring: dict[asyncio.Task[None], ServedModel] = {}

    def find(self, name: str | None = None, version: int | None = None) -> ServedModel:
        """The model that answers for a name; None is the default model, or the newest version.

        Raises:
            UnknownModelError: nothing of that name or version is being served.
        """
        if name is None:
            name = self._default_name()
        versions = self._models.get(name)
        if not versions:
            served = ", ".join(sorted(self._models)) or "none"
            raise UnknownModelError(f"no model '{name[:80]}' is being served; served: {served}")
        if version is None:
            return versions[max(versions)]
        if version not in versions:
            known = ", ".join(map(str, sorted(versions)))
            raise UnknownModelError(f"version {version} of '{name}' is not being served; served: {known}")
        return versions[version]

    @property
    def default(self) -> str | None:
        """The model that answers where none is named; None while there is none."""
        return self._default if self._default in self._models else None

    def _default_name(self) -> str:
        if not self._models or self._default is None:
            raise UnknownModelError("no model is being served")
        if self._default not in self._models:
            served = ", ".join(sorted(self._models))
            raise UnknownModelError(f"the default model, '{self._default}', was unloaded; name one: {served}")
        return self._default

    def served(self) -> list[ServedModel]:
        """Every model that answers, by name and version."""
        return [versions[version] for _, versions in sorted(self._models.items()) for version in sorted(versions)]

    def _all(self) -> list[ServedModel]:
        """Those that answer, and those that were replaced and still have work."""
        return [*self.served(), *self._retiring.values()]

    async def load_configured(self) -> None:
        """Load what the configuration names, or the newest version of everything in the store.

        Raises:
            UnknownModelError, BundleError, ModelUnavailableError: the first model that cannot be served.
        """
        wanted = [parse_reference(text) for text in self._config.models]
        if not wanted:
            wanted = [(name, None) for name in await asyncio.to_thread(self.store.names)]
        if not wanted:
            what = "has no bundles" if self.store.root.is_dir() else "does not exist"
            raise UnknownModelError(
                f"the store {self.store.root} {what}; `quickeye models import` or `build` makes one"
            )
        for name, version in wanted:
            await self.load(name, version)
        self._default = wanted[0][0]

    async def load(self, name: str, version: int | None = None) -> ServedModel:
        """Load one version (None: the newest that runs here) and let it answer.

        Raises:
            UnknownModelError: not in the store.
            ModelUnavailableError: the bundle is broken, or no engine here answers as it should.
        """
        async with self._loading:
            started_s = time.monotonic()
            try:
                loaded = await asyncio.to_thread(self._open_and_load, name, version)
                model = await self._start(loaded)
            except UnknownModelError:
                await self._forget_last_load_unless_stored(name)
                raise
            except (BackendError, BundleError, InternalError) as error:
                self._last_load_ended_well[name] = False
                log.warning("%s cannot be served: %s", name, error)
                raise ModelUnavailableError(f"{name} cannot be served: {error}") from error
            model.load_s = time.monotonic() - started_s
            self._last_load_ended_well[name] = True
            _log_loaded(model)
            if not self._models:
                self._default = name
            replaced = self._models.get(name, {})
            kept = {} if version is None else dict(replaced)
            gone = [old for number, old in replaced.items() if version is None or number == model.spec.version]
            kept[model.spec.version] = model
            self._models[name] = kept
            for old in gone:
                self._retire(old)
            return model

    async def unload(self, name: str, version: int | None = None) -> None:
        """Stop answering for a name, or one version of it; admitted work is still answered.

        Raises:
            UnknownModelError: it is not being served.
        """
        self.find(name, version)
        versions = self._models[name]
        gone = list(versions.values()) if version is None else [versions[version]]
        kept = {number: model for number, model in versions.items() if model not in gone}
        if kept:
            self._models[name] = kept
        else:
            del self._models[name]
        log.info("%s version %s answers no more", name, ", ".join(str(model.spec.version) for model in gone))
        if name == self._default and self.default is None:
            log.warning("the default model, %s, is not served: calls must name a model", self._default)
        for model in gone:
            self._retire(model)

    async def delete(self, name: str, version: int | None = None) -> list[int]:
        """Remove from the store, then unload; returns the versions removed. Where the disk refuses, it serves on.

        Raises:
            UnknownModelError: not in the store.
            ForbiddenError: the store is read-only.
        """
        try:
            self.store.refuse_if_read_only()
        except BundleError as error:
            raise ForbiddenError(str(error)) from None
        stored = await asyncio.to_thread(self.store.versions, name)
        gone = stored if version is None else [number for number in stored if number == version]
        if not gone:
            if not stored:
                self._last_load_ended_well.pop(name, None)
            raise UnknownModelError(f"the store has no {name[:80]}" + (f" version {version}" if version else ""))
        for number in gone:
            await asyncio.to_thread(self.store.remove, name, number)
            if number in self._models.get(name, {}):
                await self.unload(name, number)
        if gone == stored:
            self._last_load_ended_well.pop(name, None)
        return gone

    async def drain(self, timeout_s: float) -> int:
        """Let every model finish what it admitted; returns how many jobs were left open."""
        left = await asyncio.gather(*(model.drain(timeout_s) for model in self._all()))
        return sum(left)

    def give_up(self) -> None:
        """Tell everybody who still waits that the server stops."""
        for model in self._all():
            model.give_up()

    async def close(self) -> None:
        """End every model."""
        models, self._models = self.served(), {}
        await asyncio.gather(*(model.close() for model in models), *self._retiring)

    def gauges(self) -> Iterable[GaugeSample]:
        """What ``/metrics`` reads at each scrape."""
        queued: dict[str, tuple[int, int]] = {}
        for model in self._all():
            waiting, running = model.batcher.counts()
            before = queued.get(model.spec.name, (0, 0))
            queued[model.spec.name] = (before[0] + waiting, before[1] + running)
        for model in self.served():
            spec, loaded = model.spec, model.loaded
            backend = loaded.backends[0]
            check = "passed" if loaded.verdict.passed else "failed"
            version = str(spec.version)
            labels = (spec.name, version, backend.name, backend.device, spec.precision, spec.parent or "", check)
            yield "quickeye_model_info", labels, 1.0
            yield "quickeye_model_ready", (spec.name, version), 1.0
            yield "quickeye_model_load_seconds", (spec.name, version), model.load_s
            if model is self.find(spec.name):
                yield from _of_instances(model)
                for images, seconds in model.batcher.learned().items():
                    yield "quickeye_predicted_batch_seconds", (spec.name, str(images)), seconds
        for name, ended_well in self._last_load_ended_well.items():
            yield "quickeye_model_last_load_successful", (name,), float(ended_well)
        for name, (waiting, running) in queued.items():
            yield "quickeye_queue_images", (name,), float(waiting)
            yield "quickeye_inflight_images", (name,), float(running)

    def _open_and_load(self, name: str, version: int | None) -> LoadedModel:
        return load(self._config, self._newest_that_runs(name) if version is None else self.store.open(name, version))

    async def _forget_last_load_unless_stored(self, name: str) -> None:
        """What the store has no more can't be mended: nobody is to be told of it for ever."""
        with contextlib.suppress(BundleError):  # the store can't be read: nothing is known to be gone
            if not await asyncio.to_thread(self.store.versions, name):
                self._last_load_ended_well.pop(name, None)

    def _newest_that_runs(self, name: str) -> Bundle:
        """A name may have several bundles of one lineage: the newest one that an engine of ours takes on the device."""
        wanted = set(BACKENDS) - UNCHECKED if self._config.backend == "auto" else {self._config.backend}
        versions = self.store.versions(name)
        extra = backend_extra(self._config)
        on_gpu = self._config.device == "cuda"
        for version in reversed(versions):
            bundle = self.store.open(name, version)
            if wanted & UNCHECKED or any(takes(bundle, one, on_gpu=on_gpu, extra=extra) for one in wanted):
                return bundle
        if not versions:
            return self.store.open(name)  # says what is wrong
        where = f" with device 'cuda', which takes {_FOR_GPUS}" if on_gpu else ""
        raise BackendUnavailableError(f"no version of it runs on {', '.join(sorted(wanted))}{where}")

    async def _start(self, loaded: LoadedModel) -> ServedModel:
        spec = loaded.bundle.spec
        metrics = ModelMetrics(self._metrics, spec.name, len(loaded.bundle.labels))
        history = self.batches.of(spec.name) if self.batches is not None else None
        limits = batch_limits(self._config, loaded)
        model = ServedModel(loaded, limits, metrics, history=history, tracing=self._tracing)
        warming = asyncio.ensure_future(asyncio.to_thread(warm_up, model))
        try:
            await asyncio.shield(warming)
        except BaseException:
            await asyncio.wait([warming])  # a thread can't be cancelled, and must not run what is closed
            await model.close()
            raise
        model.start()
        return model

    def _retire(self, model: ServedModel) -> None:
        """Let a model that nobody can find any more finish, then close it."""
        task = asyncio.get_running_loop().create_task(self._finish(model))
        self._retiring[task] = model
        task.add_done_callback(self._retiring.pop)

    async def _finish(self, model: ServedModel) -> None:
        await model.drain(self._config.drain_timeout_s)
        await model.close()
        await asyncio.to_thread(give_back)


def _of_instances(model: ServedModel) -> Iterable[GaugeSample]:
    """What all instances of a model together have, and have done."""
    loaded, name = model.loaded, model.spec.name
    largest = min(getattr(one, "largest_batch", loaded.max_batch_size) for one in loaded.backends)
    yield "quickeye_largest_batch", (name,), float(largest)
    each: list[Mapping[str, float]] = [getattr(one, "device_seconds", {}) for one in loaded.backends]
    for stage in each[0]:
        yield "quickeye_device_seconds", (name, stage), sum(seconds[stage] for seconds in each)
    for where in model.instances[0].decoded:
        yield "quickeye_decoded_images", (name, where), sum(one.decoded[where] for one in model.instances)


def _log_loaded(model: ServedModel) -> None:
    spec, loaded = model.spec, model.loaded
    backend = loaded.backends[0]
    log.info(
        "%s version %d answers: %s on %s, %d × %d threads, check: %s, ready in %.0f ms",
        spec.name, spec.version, backend.name, backend.device, len(loaded.backends), loaded.threads,
        loaded.verdict.detail, model.load_s * 1e3,
    )  # fmt: skip
