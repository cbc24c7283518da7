"""A served model as ``GET /v1/models`` tells of it."""

import asyncio

from pydantic import BaseModel, Field

from model_zoo.manifest import Abstain, Accuracy, InputPart, Latency, Lineage, OutputPart
from model_zoo.store import Store
from server.served_model import ServedModel


class CheckEntry(BaseModel):
    """How the engine did on the bundle's own check pictures."""

    passed: bool
    max_abs_diff: float = Field(description="largest difference from the expected outputs")
    detail: str


class EngineEntry(BaseModel):
    """What runs the model here."""

    backend: str
    device: str
    instances: int
    threads: int = Field(description="threads inside one instance")
    max_batch_size: int
    check: CheckEntry
    passed_over: dict[str, str] = Field(description="backends that were tried first, and why they do not serve")


class QueueEntry(BaseModel):
    """The model's queue at this moment."""

    waiting_images: int
    running_images: int
    predicted_wait_ms: float
    predicted_batch_ms: dict[int, float] = Field(description="learned time of one batch, by its size")


class ModelEntry(BaseModel):
    """One served version of a model."""

    name: str
    version: int
    versions_in_store: list[int]
    state: str = Field(description="ready, or draining")
    task: str
    precision: str
    classes: int
    input: InputPart
    outputs: list[OutputPart]
    lineage: Lineage
    accuracy: list[Accuracy]
    latency: list[Latency]
    abstain: Abstain | None = Field(description="below which score a picture is answered unknown, and what that keeps")
    licence: str
    source: str
    fingerprint: str = Field(description="sha256 of the bundle's manifest")
    engine: EngineEntry
    queue: QueueEntry
    load_ms: float


async def entry_of(model: ServedModel, store: Store) -> ModelEntry:
    """The catalogue's entry; looks into the store for the other versions."""
    bundle = model.loaded.bundle
    manifest = bundle.manifest
    waiting, running = model.batcher.counts()
    learned = model.batcher.learned()
    return ModelEntry(
        name=manifest.name,
        version=manifest.version,
        versions_in_store=await asyncio.to_thread(store.versions, manifest.name),
        state="draining" if model.batcher.draining else "ready",
        task=manifest.task,
        precision=manifest.precision,
        classes=len(bundle.labels),
        input=manifest.input,
        outputs=list(manifest.outputs),
        lineage=manifest.lineage,
        accuracy=list(manifest.accuracy),
        latency=list(manifest.latency),
        abstain=manifest.abstain,
        licence=manifest.licence,
        source=manifest.source,
        fingerprint=bundle.fingerprint,
        engine=_engine(model),
        queue=QueueEntry(
            waiting_images=waiting,
            running_images=running,
            predicted_wait_ms=round(model.batcher.predicted_wait_s() * 1e3, 3),
            predicted_batch_ms={images: round(seconds * 1e3, 3) for images, seconds in learned.items()},
        ),
        load_ms=round(model.load_s * 1e3, 1),
    )


def _engine(model: ServedModel) -> EngineEntry:
    loaded = model.loaded
    verdict = loaded.verdict
    return EngineEntry(
        backend=loaded.backends[0].name,
        device=loaded.backends[0].device,
        instances=len(loaded.backends),
        threads=loaded.threads,
        max_batch_size=loaded.max_batch_size,
        check=CheckEntry(passed=verdict.passed, max_abs_diff=verdict.max_abs_diff, detail=verdict.detail),
        passed_over=dict(loaded.refused),
    )
