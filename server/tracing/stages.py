"""One picture's stages as spans, from the times that its instance took.

Spans are intervals, so they say when a picture was where: ``queue`` is from its arrival to its batch being formed,
``decode`` and ``preprocess`` are its own, ``infer`` and ``postprocess`` those of its whole batch. What lies between is
the preparing of its neighbours. The metrics count that as waiting, and of the postprocessing a picture's share.
"""

from collections.abc import Iterator

from opentelemetry.context import Context

from server.job import Answer, Job
from server.tracing.picture_trace import PictureTrace
from server.tracing.spans import Spans

Interval = tuple[str, float, float]


def write_stages(
    spans: Spans, parent: Context, job: Job, trace: PictureTrace, answer: Answer | None, ended_s: float
) -> float:
    """Write what a picture went through, as far as it came by ``ended_s``; nothing if it was never admitted.

    Returns:
        When its last stage ended.
    """
    if not job.arrived_s:
        return ended_s
    end_s = ended_s
    for name, start_s, end_s in _intervals(job, trace, answer, ended_s):
        size = {"quickeye.batch.size": answer.batch_size} if answer is not None and name == "infer" else None
        spans.write(name, parent, start_s, end_s, size)
    return end_s


def _intervals(job: Job, trace: PictureTrace, answer: Answer | None, ended_s: float) -> Iterator[Interval]:
    times, timeline = job.times, job.batch
    yield "queue", job.arrived_s, ended_s if timeline is None else timeline.formed_s
    if timeline is None or not trace.begun_s:
        return
    decoded_s = trace.begun_s + times.decode
    if times.decode:
        yield "decode", trace.begun_s, decoded_s
    prepared_s = decoded_s + times.preprocess
    if times.preprocess:
        yield "preprocess", decoded_s, prepared_s
    if answer is None:
        return
    if answer.reused:
        yield "postprocess", prepared_s, prepared_s + times.postprocess
    elif timeline.run_s is not None and timeline.ran_s is not None:
        yield "infer", timeline.run_s, timeline.ran_s
        yield "postprocess", timeline.ran_s, timeline.ran_s + times.postprocess * answer.batch_size
