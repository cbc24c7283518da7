"""A session between a fake client and fake models, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from server.config import Config
from server.metrics import Metrics
from server.streams.events import as_json
from server.streams.options import StreamOptions
from server.streams.session import Close, Session, Wire
from tests.server.streams.fakes import FakeClient, FakeModel, Models, settled, spec_named
from tests.server.virtual_time import run_virtually

CONFIG = Config(max_frame_bytes=10_000, max_stream_inflight=4, max_frame_age_ms=1000, timeout_ms=5000)


class Stage:
    """One session being served; ``model`` answers it, ``boots`` is there to be switched to."""

    def __init__(self, options: StreamOptions) -> None:
        self.metrics = Metrics(lambda: ())
        self.client = FakeClient()
        self.model = FakeModel()
        self.boots = FakeModel(spec_named("boots", 3, explains=True))
        self.models = Models(self.model, self.boots)
        clock = asyncio.get_running_loop().time
        wire = Wire(self.client.receive, self.client.send, as_json, self.client.connection)
        self.session = Session("s-1", wire, options, CONFIG, self.metrics, self.model, self.models.find, clock)
        self.serving = asyncio.ensure_future(self.session.serve())

    async def hears(self, *types: str) -> list[dict[str, Any]]:
        """What was told since the last time, of these types or of all."""
        await settled()
        heard, self.client.heard = self.client.heard, []
        return [event for event in heard if not types or event["type"] in types]

    async def runs(self, *results: Any) -> None:  # noqa: ANN401 (answers or exceptions)
        """Take what waits and end it, one by one."""
        await settled()
        for result in results:
            self.model.take()
            self.model.finish(-1, result)
        await settled()

    def counted(self, outcome: str, model: str = "shoes") -> float:
        """``quickeye_stream_frames_total``."""
        labels = {"model": model, "outcome": outcome}
        return self.metrics.registry.get_sample_value("quickeye_stream_frames_total", labels) or 0.0

    async def ended(self) -> Close:
        """How the session ended."""
        return await asyncio.wait_for(self.serving, 100.0)


def play(scenario: Callable[[Stage], Awaitable[None]], **options: Any) -> None:  # noqa: ANN401
    """Run a scenario; whatever it leaves open is ended, and no task may be left behind."""

    async def run() -> None:
        stage = Stage(StreamOptions(**{"model": "shoes", **options}))
        try:
            await scenario(stage)
        finally:
            stage.client.leaves()
            await stage.ended()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    work: Coroutine[Any, Any, None] = run()
    run_virtually(work)
