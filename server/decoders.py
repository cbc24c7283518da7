"""Threads that decode for engines on a GPU: there an instance is no core, and one thread would keep it waiting."""

from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cache

from server.backends import Backend
from server.backends.threads import available_cores


def decoders_for(backend: Backend) -> Executor | None:
    """All models' together, one a core; None for an engine on a CPU, whose instances are the cores."""
    return _pool() if backend.device.startswith("cuda") else None


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(available_cores(), thread_name_prefix="decoder")
