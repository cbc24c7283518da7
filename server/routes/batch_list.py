"""What ``GET /debug/batches`` answers, for the OpenAPI document; ``batch_history.py`` makes it."""

from typing import Literal

from pydantic import BaseModel, Field

from server.batch_timeline import ClosedBy


class StageMilliseconds(BaseModel):
    """Of one picture: they add up to its whole time, but for moments between stages."""

    queue: float
    decode: float
    preprocess: float
    infer: float
    postprocess: float


class BatchedPicture(BaseModel):
    """One picture of a batch. Instants count from when the batch was formed."""

    kind: Literal["post", "frame"]
    priority: int
    width: int | None = Field(description="as stored; null for bare pixels")
    height: int | None
    arrived_ms: float
    total_ms: float = Field(description="from its arrival to the end of the batch")
    timing_ms: StageMilliseconds
    outcome: str = Field(description="ok, or the error's code")
    reused: bool = Field(description="a frame that was not run: it differs too little from the last one that was")


class Batch(BaseModel):
    """One batch that was run. Instants count from when it was formed; null: it did not come to that."""

    model: str
    version: int
    id: int
    instance: int | None
    size: int = Field(description="pictures in it")
    run: int = Field(description="pictures that the engine ran")
    formed_at: float = Field(description="seconds since 1970")
    closed_by: ClosedBy = Field(description="why it did not grow")
    left_waiting: int = Field(description="pictures that still stood in line")
    run_ms: float | None = Field(description="the engine's start")
    ran_ms: float | None = Field(description="the engine's end")
    ended_ms: float | None = Field(description="all answers made")
    predicted_ms: float = Field(description="t(size), as it was known then")
    measured_ms: float | None = Field(description="what the batch took, from its first decode to its last answer")
    errors: int
    pictures: list[BatchedPicture]


class BatchList(BaseModel):
    """The last batches, newest first."""

    kept_per_model: int
    batches: list[Batch]
