"""The pieces of a prediction's reply."""

from server.errors import Refusal
from server.job import STAGES, Answer, StageTimes

StagesMs = dict[str, float]


def stages_ms(times: StageTimes) -> StagesMs:
    """Milliseconds of each stage, to the microsecond."""
    return {
        "queue": round(times.queue * 1e3, 3),
        "decode": round(times.decode * 1e3, 3),
        "preprocess": round(times.preprocess * 1e3, 3),
        "infer": round(times.infer * 1e3, 3),
        "postprocess": round(times.postprocess * 1e3, 3),
    }


def slowest_of(stages: list[StagesMs]) -> StagesMs:
    """The slowest picture of each stage; at least one must be given."""
    if len(stages) == 1:
        return stages[0]
    return {stage: max(each[stage] for each in stages) for stage in STAGES}


def server_timing(stages: StagesMs) -> bytes:
    """The Server-Timing header."""
    return ", ".join([f"{stage};dur={value}" for stage, value in stages.items()]).encode()


def answered_result(answer: Answer, timing_ms: StagesMs) -> dict[str, object]:
    """One entry of ``results``."""
    return {
        "predictions": [{"index": one.index, "label": one.label, "score": one.score} for one in answer.predictions],
        "width": answer.width,
        "height": answer.height,
        "error": None,
        "timing_ms": timing_ms,
        "batch_size": answer.batch_size,
    }


def failed_result(refusal: Refusal | None) -> dict[str, object]:
    """One entry of ``results`` for a picture without an answer."""
    error = None if refusal is None else {"code": refusal.code, "message": refusal.message}
    return {"predictions": [], "width": None, "height": None, "error": error}
