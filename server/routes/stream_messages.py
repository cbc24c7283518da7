"""Every message of a stream: its schema, its examples, and what it is for.

Schemas are draft-07, as AsyncAPI has them.
"""

import base64
from typing import Any

from model_zoo.magic import FORMATS
from server.job import STAGES
from server.routes.predict_openapi import CLASS_ACTIVATION_SCHEMA, UNKNOWN_SCHEMA
from server.streams.control import MAX_ID
from server.streams.frame import HEADER, MAGIC
from server.streams.options import MAY_BE_NULL, OPTIONS, StreamOptions
from server.streams.tally import REASONS

Schema = dict[str, Any]

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_NUMBER = {"type": "number"}
_SEQ = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}
_CAPTURED_AT = {"type": ["number", "null"], "description": "the client's clock, told back as it came"}
_ID = {"type": ["string", "number"], "maxLength": MAX_ID}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(properties: Schema, *optional: str) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


def _typed(kind: str, properties: Schema, *optional: str) -> Schema:
    return _object({"type": {"const": kind}, **properties}, *optional)


OPTION_SCHEMAS = {
    name: {**(_or_null(option.schema) if name in MAY_BE_NULL else option.schema), "description": option.meaning}
    for name, option in OPTIONS.items()
}
_PREDICTION = _object({"index": _COUNT, "label": _TEXT, "score": _NUMBER})

SCHEMAS: dict[str, Schema] = {
    "ready": _typed(
        "ready",
        {
            "model": _TEXT,
            "version": _COUNT,
            "session": {**_TEXT, "description": "this stream's name in the server's log"},
            "options": _object(OPTION_SCHEMAS),
            "limits": _object(
                {
                    "max_frame_bytes": _COUNT,
                    "max_inflight": {**_COUNT, "description": "unanswered frames, with policy all"},
                    "max_frame_age_ms": {**_NUMBER, "description": "with policy latest"},
                    "formats": {"type": "array", "items": _TEXT},
                }
            ),
        },
    ),
    "result": _typed(
        "result",
        {
            "seq": _SEQ,
            "captured_at": _CAPTURED_AT,
            "model": _TEXT,
            "version": _COUNT,
            "predictions": {"type": "array", "items": _PREDICTION, "description": "best first; empty when unchanged"},
            "width": {**_COUNT, "description": "of the picture as shown, px"},
            "height": {**_COUNT, "description": "of the picture as shown, px"},
            "error": {"type": "null"},
            "timing_ms": _object(dict.fromkeys(STAGES, _NUMBER)),
            "batch_size": _COUNT,
            "age_ms": {**_NUMBER, "description": "from the frame's arrival to this event leaving"},
            "reused": {"type": "boolean", "description": "the gate was closed: the scores are the last run frame's"},
            "unchanged": {
                "const": True,
                "description": "with only_changed: best class and unknown are as told last",
            },
            "class_activation": CLASS_ACTIVATION_SCHEMA,
            "unknown": UNKNOWN_SCHEMA,
        },
        "unchanged",
        "class_activation",
        "unknown",
    ),
    "dropped": _typed("dropped", {"seq": _SEQ, "captured_at": _CAPTURED_AT, "reason": {"enum": list(REASONS)}}),
    "error": _typed(
        "error",
        {
            "seq": {**_or_null(_SEQ), "description": "null: the error is not of a numbered frame"},
            "captured_at": _CAPTURED_AT,
            "code": {**_TEXT, "description": "as in docs/http.md"},
            "message": _TEXT,
        },
    ),
    "configured": _typed("config", OPTION_SCHEMAS),
    "pong": _typed("pong", {"id": _ID}, "id"),
    "stats": _typed(
        "stats",
        {
            "seconds": _NUMBER,
            "frames": _COUNT,
            "results": _COUNT,
            "reused": _COUNT,
            "dropped": _object(dict.fromkeys(REASONS, _COUNT)),
            "errors": _COUNT,
            "bytes": _COUNT,
            "frame_age_ms": {**_or_null(_object({"p50": _NUMBER, "p99": _NUMBER})), "description": "of recent results"},
        },
    ),
    "frame": {"type": "string", "contentEncoding": "base64", "description": "on the wire the bytes themselves"},
    "configure": _typed("config", OPTION_SCHEMAS, *OPTION_SCHEMAS),
    "ping": _typed("ping", {"id": _ID}, "id"),
    "askStats": _typed("stats", {}),
    "end": _typed("end", {}),
}

# One grey pixel.
_PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
_NUMBERED = base64.b64encode(HEADER.pack(MAGIC, 7, 1.5) + base64.b64decode(_PICTURE)).decode()

_MODEL = {"model": "efficientnet_lite0", "version": 3}
_SEEN = {"seq": 7, "captured_at": 1.5}
_RESULT = {
    "type": "result",
    **_SEEN,
    **_MODEL,
    "predictions": [{"index": 285, "label": "Egyptian cat", "score": 0.71}],
    "width": 640,
    "height": 480,
    "error": None,
    "timing_ms": {"queue": 0.4, "decode": 1.9, "preprocess": 0.7, "infer": 10.3, "postprocess": 0.1},
    "batch_size": 1,
    "age_ms": 13.9,
    "reused": False,
}
_MAP = {"index": 285, "height": 1, "width": 1, "maximum": 21.4, "box": [108.86, 30, 529.27, 450], "png": _PICTURE}
_SHORT = {**_RESULT, "predictions": [], "unchanged": True}
_LIMITS = {"max_frame_bytes": 8388608, "max_inflight": 4, "max_frame_age_ms": 1000.0, "formats": [*FORMATS]}
_EFFECTIVE = {**StreamOptions(model="efficientnet_lite0").effective(), "top_k": 1}

EXAMPLES: dict[str, list[dict[str, Any] | str]] = {
    "ready": [
        {
            "type": "ready",
            **_MODEL,
            "session": "5f0c9a1e00000007",
            "options": _EFFECTIVE,
            "limits": _LIMITS,
        }
    ],
    "result": [
        _RESULT,
        _SHORT,
        {**_RESULT, "class_activation": _MAP},
        {**_RESULT, "unknown": True},
    ],
    "dropped": [{"type": "dropped", **_SEEN, "reason": "superseded"}],
    "error": [
        {"type": "error", **_SEEN, "code": "undecodable_image", "message": "the picture is empty (0 bytes)"},
        {
            "type": "error",
            "seq": None,
            "captured_at": None,
            "code": "invalid_request",
            "message": "type must be one of config, ping, stats, end, not 'pong'",
        },
    ],
    "configured": [{"type": "config", **_EFFECTIVE}],
    "pong": [{"type": "pong"}, {"type": "pong", "id": 3}],
    "stats": [
        {
            "type": "stats",
            "seconds": 12.5,
            "frames": 375,
            "results": 310,
            "reused": 0,
            "dropped": {"superseded": 64, "stale": 1, "overloaded": 0},
            "errors": 0,
            "bytes": 15103500,
            "frame_age_ms": {"p50": 21.4, "p99": 48.9},
        }
    ],
    "frame": [_PICTURE, _NUMBERED],
    "configure": [{"type": "config", "top_k": 1, "only_changed": True}, {"type": "config", "threshold": None}],
    "ping": [{"type": "ping"}, {"type": "ping", "id": 3}],
    "askStats": [{"type": "stats"}],
    "end": [{"type": "end"}],
}

SUMMARIES = {
    "ready": "The first event: who answers, under which options and limits",
    "result": "A frame was answered; results come in the order of their frames",
    "dropped": "A frame was not answered: a newer one took its place, it grew too old, or too much waits",
    "error": "A frame or a text message was refused",
    "configured": "The options from here on",
    "pong": "The answer to a ping",
    "stats": "What was told so far",
    "frame": "A picture, with or without the header",
    "configure": "Change options for the frames to come",
    "ping": "Ask whether the server answers",
    "askStats": "Ask for the counts",
    "end": "Ask for the end: what is in flight is answered, then stats, then close 1000",
}
