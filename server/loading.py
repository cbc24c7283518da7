"""From a bundle on disk to engines that are checked and warm. Blocks; runs in a thread."""

from contextlib import ExitStack
from dataclasses import dataclass

from model_zoo.bundle import Bundle
from server.admission import BatchLimits
from server.backends import Backend, BackendOptions
from server.backends.batches import batch_limit
from server.backends.errors import BackendLoadError
from server.backends.selection import open_backend
from server.backends.threads import ThreadPlan, available_cores, plan_threads
from server.backends.tuning import remembered_plan
from server.config import Config
from server.served_model import LoadedModel

GPU_INSTANCES = 3  # one copies pictures in, one computes, one copies answers out


@dataclass(frozen=True, slots=True)
class RunPlan:
    """How one model is spread over the machine. ``backend`` is asked for by name, ``prefer`` only tried first.

    ``instances`` and ``max_batch_size`` are 0 where the device that is found decides.
    """

    backend: str | None
    prefer: str | None
    instances: int
    threads: int
    max_batch_size: int


def plan(config: Config, bundle: Bundle) -> RunPlan:
    """What the configuration asks for, else what tuning remembered, else what the cores suggest."""
    tuned = remembered_plan(bundle) if config.backend == "auto" and config.device != "cuda" else None
    sizes = [size for size in (config.max_batch_size, tuned.max_batch_size if tuned else 0) if size]
    return RunPlan(
        backend=None if config.backend == "auto" else config.backend,
        prefer=tuned.backend if tuned else None,
        instances=config.instances or (tuned.instances if tuned else 0),
        threads=config.threads or (tuned.threads if tuned else _spread(config).threads),
        max_batch_size=min(sizes, default=0),
    )


def _spread(config: Config) -> ThreadPlan:
    # The fake engine never lets go of the interpreter: two of it would only wait for each other.
    return ThreadPlan(1, 1) if config.backend == "fake" else plan_threads(available_cores())


def load(config: Config, bundle: Bundle) -> LoadedModel:
    """Open every instance of a model; each proves itself on the bundle's check.

    Raises:
        BackendError: no engine takes the bundle, or none answers as it should.
    """
    if bundle.spec.task != "classification":
        raise BackendLoadError(f"its task is {bundle.spec.task}, and this version answers classification only")
    how = plan(config, bundle)
    options = BackendOptions(config.device, how.threads, how.max_batch_size, backend_extra(config))
    first = open_backend(bundle, options, how.backend, prefer=how.prefer)
    with ExitStack() as opened:
        opened.callback(first.backend.close)

        def another() -> Backend:
            backend = open_backend(bundle, first.options, first.backend.name).backend
            opened.callback(backend.close)
            return backend

        on_gpu = first.backend.device.startswith("cuda")
        instances = how.instances or (GPU_INSTANCES if on_gpu else _spread(config).instances)
        backends = (first.backend, *(another() for _ in range(instances - 1)))
        opened.pop_all()  # all of them are open: they are the model's to close now
    largest = batch_limit(bundle.spec.input, first.options.max_batch_size)
    return LoadedModel(bundle, backends, first.verdict, first.refused, how.threads, largest)


def backend_extra(config: Config) -> dict[str, str]:
    """The settings of engines.

    Raises:
        BackendLoadError: one that is not KEY=VALUE.
    """
    return dict(_key_and_value(text) for text in config.backend_options)


def _key_and_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise BackendLoadError(f"a backend option is KEY=VALUE, not {text!r}")
    return key, value


def batch_limits(config: Config, loaded: LoadedModel) -> BatchLimits:
    """The configuration's bounds in the batcher's units."""
    return BatchLimits(
        max_batch_size=loaded.max_batch_size,
        sizes=getattr(loaded.backends[0], "batch_sizes", ()),
        max_queue_delay_s=config.max_queue_delay_ms / 1e3,
        max_queue_images=config.max_queue_images,
        max_queue_bytes=config.max_queue_bytes,
        max_queue_wait_s=config.max_queue_wait_ms / 1e3,
        starvation_s=config.starvation_ms / 1e3,
    )
