"""The pieces of a prediction's reply."""

import orjson

from model_zoo.spec import InputSpec
from server.class_activation import told
from server.errors import Refusal
from server.job import STAGES, Answer, StageTimes

StagesMs = dict[str, float]


def stages_ms(times: StageTimes) -> StagesMs:
    """Milliseconds of each stage, as ``in_ms`` (five calls of it would take as long again)."""
    return {
        "queue": int(times.queue * 1e6 + 0.5) / 1e3,
        "decode": int(times.decode * 1e6 + 0.5) / 1e3,
        "preprocess": int(times.preprocess * 1e6 + 0.5) / 1e3,
        "infer": int(times.infer * 1e6 + 0.5) / 1e3,
        "postprocess": int(times.postprocess * 1e6 + 0.5) / 1e3,
    }


def in_ms(seconds: float) -> float:
    """Seconds ≥ 0 in milliseconds, to the microsecond; ``round`` takes eight times as long."""
    return int(seconds * 1e6 + 0.5) / 1e3


def slowest_of(stages: list[StagesMs]) -> StagesMs:
    """The slowest picture of each stage; at least one must be given."""
    if len(stages) == 1:
        return stages[0]
    return {stage: max(each[stage] for each in stages) for stage in STAGES}


def server_timing(stages: StagesMs) -> bytes:
    """The Server-Timing header: ``queue;dur=0.4, decode;dur=0.9, …``, made from the same stages as JSON."""
    header: bytes = orjson.dumps(stages)[2:-1].replace(b'":', b";dur=").replace(b',"', b", ")
    return header


def answered_result(answer: Answer, timing_ms: StagesMs, spec: InputSpec, *, as_text: bool = True) -> dict[str, object]:
    """One entry of ``results``, which is also the middle of a stream's ``result``.

    Args:
        spec: the model's input, for where a map lies on the picture.
        as_text: whether a map's picture is base64, or bytes.
    """
    result: dict[str, object] = {
        "predictions": [{"index": one.index, "label": one.label, "score": one.score} for one in answer.predictions],
        "width": answer.width,
        "height": answer.height,
        "error": None,
        "timing_ms": timing_ms,
        "batch_size": answer.batch_size,
    }
    if answer.class_activation is not None:
        result["class_activation"] = told(answer, spec, as_text=as_text)
    if answer.unknown:
        result["unknown"] = True
    return result


def failed_result(refusal: Refusal | None) -> dict[str, object]:
    """One entry of ``results`` for a picture without an answer."""
    error = None if refusal is None else {"code": refusal.code, "message": refusal.message}
    return {"predictions": [], "width": None, "height": None, "error": error}
