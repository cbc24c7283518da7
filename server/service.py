"""What every route stands on: the configuration, the models, the metrics, and whether work is taken."""

import asyncio
import itertools
import logging
import time
from pathlib import Path

from model_zoo.store import Store, shipped_store
from server.catalogue import Catalogue
from server.config import Config
from server.errors import DrainingError, NotReadyError
from server.gpus import Gpus
from server.keys import Keys
from server.metrics import Metrics
from server.profiling.profiler import Profiler
from server.streams.sessions import Sessions
from server.tracing.opening import OpenTracing, open_tracing

log = logging.getLogger("quickeye.service")

LAG_INTERVAL_S = 0.5


class Service:
    """One server's state. Made by ``create_app``; started and closed by its lifespan.

    Raises:
        TracingUnavailableError: the configuration asks for tracing, and it cannot be had.
    """

    def __init__(self, config: Config, opening: OpenTracing = open_tracing) -> None:
        self.config = config
        self.keys = Keys(config)
        self.gpus = Gpus()
        self.metrics = Metrics(
            lambda: itertools.chain(self.catalogue.gauges(), self.streams.gauges(), self.gpus.gauges())
        )
        store = Store(Path(config.store)) if config.store else shipped_store()
        self.tracing = opening(config, self.metrics)
        self.catalogue = Catalogue(config, store, self.metrics, self.tracing)
        self.profiler = Profiler()
        self.streams = Sessions(config.max_stream_sessions)
        self.failure: BaseException | None = None
        self.ready = asyncio.Event()  # set when loading ended, well or not: see ``failure``
        self.draining = False
        self.gave_up = False  # the end came before some request was complete
        self._background: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to load the models; returns at once, ``ready`` is set when it ended."""
        loop = asyncio.get_running_loop()
        self._background = [loop.create_task(self._load()), loop.create_task(self._watch_loop())]

    async def close(self) -> None:
        """End the models and everything that runs beside them."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.catalogue.close()
        if self.tracing is not None:
            await self.tracing.close()

    def must_take_work(self) -> None:
        """Let new work in.

        Raises:
            DrainingError, NotReadyError.
        """
        if self.draining:
            raise DrainingError("the server is stopping and takes no new work")
        self.must_be_loaded()

    def must_be_loaded(self) -> None:
        """Let a question about the models in.

        Raises:
            NotReadyError.
        """
        if not self.ready.is_set():
            raise NotReadyError("the models are being loaded and checked; try again in a second")

    async def drain(self, timeout_s: float) -> int:
        """Refuse new work, wait for what was admitted; returns how many pictures were left unanswered."""
        self.draining = True
        self.profiler.end()
        return await self.catalogue.drain(timeout_s)

    async def _load(self) -> None:
        try:
            await self.catalogue.load_configured()
        except Exception as error:  # noqa: BLE001 (kept, said by /readyz, and ends the process)
            self.failure = error
        finally:
            self.ready.set()

    async def _watch_loop(self) -> None:
        while True:
            asked_s = time.monotonic()
            await asyncio.sleep(LAG_INTERVAL_S)
            self.metrics.event_loop_lag.observe(max(0.0, time.monotonic() - asked_s - LAG_INTERVAL_S))
