"""What the server knows of traces. Without the extra ``otel`` nothing keeps these contracts, and nothing has to."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from model_zoo.spec import ModelSpec
from server.job import Answer, Job, PictureOutcome
from server.tracing.picture_trace import PictureTrace


class FrameTrace(Protocol):
    """One sampled frame of a stream."""

    picture: PictureTrace

    def left(self, job: Job, answer: Answer | None, model: ModelSpec) -> None:
        """Its model is done with it; its turn to be told may come later."""

    def end(self, outcome: str) -> None:
        """What its event says: ``result``, why it was dropped, or the code of an error. The first call counts."""


class FrameTraces(Protocol):
    """Begins the traces of one stream's frames."""

    def begin(self, seq: int, received_s: float) -> FrameTrace | None:
        """None when this frame is not sampled."""


class RequestTrace(Protocol):
    """One request, or one WebSocket from its handshake to its close.

    ``trace_id`` has 32 hexadecimal digits. ``header`` names the trace to the caller. ``exemplar`` is None when the
    request is not sampled. ``route`` is the path with names in the place of what varies, once it is known.
    """

    trace_id: str
    header: tuple[bytes, bytes]
    exemplar: dict[str, str] | None
    route: str

    def admit(self, jobs: Sequence[Job], pictures: int) -> None:
        """These are about to be submitted, of so many pictures of the request."""

    def answered(self, outcomes: Sequence[PictureOutcome], jobs: Mapping[int, Job]) -> None:
        """What became of the request's pictures; ``jobs`` by their place in the request, refused headers left out."""

    def frames(self) -> FrameTraces | None:
        """For the frames of this stream; None when the caller wants none of them sampled."""

    def end(self, status: int, record: Mapping[str, object]) -> None:
        """The request is over; ``record`` is what its access line says."""


class BatchTraces(Protocol):
    """Is told of batches, from the instances' threads."""

    def batch(self, model: ModelSpec, batch: Sequence[Job], traced: Sequence[Job]) -> None:
        """A batch is done with, ``traced`` of which are sampled; its answers have not left yet."""
