"""Measured times as a test wants them."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from server.admission import BatchLimits
from server.planning.measured import Measured, Spread
from server.planning.simulate import Machine

PLAIN = Measured(
    model="shoes",
    version=3,
    source="a test",
    machine="a machine",
    date="2026-01-02",
    backend="onnxruntime",
    device="cpu",
    instances=1,
    threads=1,
    cores=1,
    batch_s={1: 0.010},
    decode_s=0.002,
    preprocess_s=0.001,
    request_s=0.0,
    added_s=0.0,
    spread=Spread(),
)
PATIENT = {"max_queue_images": 100_000, "max_queue_wait_s": 3600.0}


def times(batch_s: Mapping[int, float], **more: object) -> Measured:
    """Times of batches; nothing varies and a request costs nothing, unless told."""
    return replace(PLAIN, batch_s=dict(batch_s), **more)  # type: ignore[arg-type]


def each(seconds: Callable[[int], float], largest: int, **more: object) -> Measured:
    """``times`` of every size up to the largest."""
    return times({images: seconds(images) for images in range(1, largest + 1)}, **more)


def machine(instances: int = 1, batch: int = 1, *, cores: int | None = None, **limits: float) -> Machine:
    """One thread an instance; with spare cores for the HTTP loop unless ``cores`` says how many there are."""
    bounds = BatchLimits(max_batch_size=batch, **{**PATIENT, **limits})  # type: ignore[arg-type]
    return Machine(2 * instances if cores is None else cores, instances, 1, bounds)
