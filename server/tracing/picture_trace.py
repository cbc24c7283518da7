"""What a picture carries when it is traced: who it is, for its batch and for the histograms."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

    from server.job import Job


@dataclass(slots=True, eq=False)
class PictureTrace:
    """One sampled picture.

    ``span`` is what its batch links to, ``exemplar`` what histograms keep. Its instance's thread notes in ``begun_s``
    when it began to decode (on the batcher's clock; 0: it never did), in ``batch`` the span of the batch that ran it.
    """

    span: "SpanContext"
    exemplar: dict[str, str]
    begun_s: float = 0.0
    batch: "SpanContext | None" = None


def traces_of(jobs: "Iterable[Job]") -> dict[str, list[str]] | None:
    """What a log line about these pictures says beside its message: which sampled traces it concerns."""
    found = dict.fromkeys(job.trace.exemplar["trace_id"] for job in jobs if job.trace is not None)
    return {"trace_ids": list(found)} if found else None
