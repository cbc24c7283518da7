"""From a bundle on disk to engines that are checked and warm. Blocks; runs in a thread."""

from contextlib import ExitStack
from dataclasses import dataclass

from model_zoo.bundle import Bundle
from server.admission import BatchLimits
from server.backends import Backend, BackendOptions
from server.backends.errors import BackendLoadError
from server.backends.selection import open_backend
from server.backends.threads import ThreadPlan, available_cores, plan_threads
from server.backends.tuning import remembered_plan
from server.config import Config
from server.served_model import LoadedModel


@dataclass(frozen=True, slots=True)
class RunPlan:
    """How one model is spread over the machine. ``backend`` is asked for by name, ``prefer`` only tried first."""

    backend: str | None
    prefer: str | None
    instances: int
    threads: int
    max_batch_size: int


def plan(config: Config, bundle: Bundle) -> RunPlan:
    """What the configuration asks for, else what tuning remembered, else what the cores suggest."""
    tuned = remembered_plan(bundle) if config.backend == "auto" and config.device != "cuda" else None
    # The fake engine never lets go of the interpreter: two of it would only wait for each other.
    cores = ThreadPlan(1, 1) if config.backend == "fake" else plan_threads(available_cores())
    largest = min(config.max_batch_size, bundle.spec.input.max_batch or config.max_batch_size)
    return RunPlan(
        backend=None if config.backend == "auto" else config.backend,
        prefer=tuned.backend if tuned else None,
        instances=config.instances or (tuned.instances if tuned else cores.instances),
        threads=config.threads or (tuned.threads if tuned else cores.threads),
        max_batch_size=min(largest, tuned.max_batch_size) if tuned else largest,
    )


def load(config: Config, bundle: Bundle) -> LoadedModel:
    """Open every instance of a model; each proves itself on the bundle's check.

    Raises:
        BackendError: no engine takes the bundle, or none answers as it should.
    """
    if bundle.spec.task != "classification":
        raise BackendLoadError(f"its task is {bundle.spec.task}, and this version answers classification only")
    how = plan(config, bundle)
    extra = dict(_key_and_value(text) for text in config.backend_options)
    options = BackendOptions(config.device, how.threads, how.max_batch_size, extra)
    first = open_backend(bundle, options, how.backend, prefer=how.prefer)
    with ExitStack() as opened:
        opened.callback(first.backend.close)

        def another() -> Backend:
            backend = open_backend(bundle, options, first.backend.name).backend
            opened.callback(backend.close)
            return backend

        backends = (first.backend, *(another() for _ in range(how.instances - 1)))
        opened.pop_all()  # all of them are open: they are the model's to close now
    return LoadedModel(bundle, backends, first.verdict, first.refused, how.threads, how.max_batch_size)


def _key_and_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise BackendLoadError(f"a backend option is KEY=VALUE, not {text!r}")
    return key, value


def batch_limits(config: Config, max_batch_size: int) -> BatchLimits:
    """The configuration's bounds in the batcher's units."""
    return BatchLimits(
        max_batch_size=max_batch_size,
        max_queue_delay_s=config.max_queue_delay_ms / 1e3,
        max_queue_images=config.max_queue_images,
        max_queue_bytes=config.max_queue_bytes,
        max_queue_wait_s=config.max_queue_wait_ms / 1e3,
        starvation_s=config.starvation_ms / 1e3,
    )
