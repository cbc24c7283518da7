"""The whole application on the test's own event loop: no process, no socket."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from server.app import App, create_app
from server.config import Config


@contextlib.asynccontextmanager
async def running_app(
    store: Path,
    *,
    wait: bool = True,
    **settings: Any,  # noqa: ANN401
) -> AsyncIterator[tuple[App, httpx.AsyncClient]]:
    """The app with its models loaded, and a client; ``wait`` False: while they still load."""
    chosen = {"backend": "fake", "instances": 1, "max_batch_size": 2, "access_log": False, **settings}
    app = create_app(Config(store=str(store), **chosen))
    await app.service.start()
    try:
        if wait:
            await app.service.ready.wait()
        async with client_of(app) as client:
            yield app, client
    finally:
        await app.service.close()


def client_of(app: App) -> httpx.AsyncClient:
    """Speaks to an app whose lifespan somebody else runs."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1:8000")
