"""The predict calls in OpenAPI 3.1: hot calls skip the framework, so their text stands here.

``tests/server/routes/test_openapi.py`` sends schemathesis at a running server with it.
"""

from typing import Any

from server.class_activation import EXPLAIN
from server.config import Config
from server.predict_options import MAX_TOP_K

_NUMBER = {"type": "number"}
_TEXT = {"type": "string"}

_PARAMETERS: list[dict[str, Any]] = [
    {
        "name": "top_k", "in": "query", "description": "how many classes to return, best first",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_TOP_K, "default": 5},
    },
    {
        "name": "priority", "in": "query", "description": "0 is served first, 9 last",
        "schema": {"type": "integer", "minimum": 0, "maximum": 9, "default": 5},
    },
    {
        "name": "threshold", "in": "query", "description": "leave out classes that score less",
        "schema": {"type": "number", "minimum": -1e9, "maximum": 1e9},
    },
    {
        "name": "explain", "in": "query",
        "description": "also tell where each picture speaks for its best class; 400 where the model can't",
        "schema": {"type": "string", "enum": [EXPLAIN]},
    },
]  # fmt: skip

_STAGES = ("queue", "decode", "preprocess", "infer", "postprocess")

_ITEM_ERROR = {
    "type": ["object", "null"],
    "required": ["code", "message"],
    "properties": {"code": _TEXT, "message": _TEXT},
}

# Of one result; streams tell the same.
CLASS_ACTIVATION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "where the picture speaks for its best class; with explain=cam alone",
    "required": ["index", "height", "width", "maximum", "box", "png"],
    "properties": {
        "index": {"type": "integer", "description": "the class that the map is of"},
        "height": {"type": "integer", "description": "of the map, cells"},
        "width": {"type": "integer", "description": "of the map, cells"},
        "maximum": {"type": "number", "minimum": 0, "description": "what level 255 stands for, in units of the logit"},
        "box": {
            "type": "array",
            "items": _NUMBER,
            "minItems": 4,
            "maxItems": 4,
            "description": "where the map lies on the picture as shown: left, top, right, bottom, px",
        },
        "png": {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"},
    },
}

# Of one result; streams tell the same.
UNKNOWN_SCHEMA: dict[str, Any] = {
    "const": True,
    "description": "the best class scores below the threshold that the bundle holds: none of these, or not sure enough",
}

_RESULT = {
    "type": "object",
    "required": ["predictions", "width", "height", "error"],
    "properties": {
        "predictions": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "label", "score"],
                "properties": {"index": {"type": "integer"}, "label": _TEXT, "score": _NUMBER},
            },
        },
        "width": {"type": ["integer", "null"], "description": "of the picture as shown, px"},
        "height": {"type": ["integer", "null"], "description": "of the picture as shown, px"},
        "error": _ITEM_ERROR,
        "timing_ms": {"type": "object", "properties": dict.fromkeys(_STAGES, _NUMBER)},
        "batch_size": {"type": "integer"},
        "class_activation": CLASS_ACTIVATION_SCHEMA,
        "unknown": UNKNOWN_SCHEMA,
    },
}

_ANSWER = {
    "type": "object",
    "required": ["model", "version", "request_id", "timing_ms", "results"],
    "properties": {
        "model": _TEXT,
        "version": {"type": "integer"},
        "request_id": _TEXT,
        "timing_ms": {"type": "object", "required": ["total"], "properties": {"total": _NUMBER}},
        "results": {"type": "array", "minItems": 1, "items": _RESULT},
    },
}

ERROR_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "request_id"],
            "properties": {"code": _TEXT, "message": _TEXT, "request_id": _TEXT},
        },
        "results": {"type": "array", "items": _RESULT},
    },
}

_ERRORS = {
    400: "invalid_request or undecodable_image",
    401: "unauthorized",
    403: "forbidden",
    404: "unknown_model",
    408: "body_timeout",
    413: "image_too_large or body_too_large",
    415: "unsupported_format",
    429: "overloaded or rate_limited, with Retry-After",
    500: "internal",
    503: "not_ready or draining, with Retry-After",
    504: "deadline_exceeded",
}

_BODY = {
    "required": True,
    "content": {
        "image/*": {"schema": {"type": "string", "format": "binary"}},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": {"type": "string", "format": "binary"}},
                "additionalProperties": {"type": "string", "format": "binary"},
            }
        },
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["images"],
                "additionalProperties": False,
                "properties": {
                    "images": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string", "contentEncoding": "base64"},
                    }
                },
            }
        },
    },
}

_PATH_PARAMETERS: dict[str, dict[str, Any]] = {
    "model": {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}},
    "version": {"name": "version", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1}},
}


def _timeout(config: Config) -> dict[str, Any]:
    return {
        "name": "timeout_ms", "in": "query", "description": "give up after this long, from when the body is complete",
        "schema": {"type": "number", "minimum": 1, "maximum": config.max_timeout_ms, "default": config.timeout_ms},
    }  # fmt: skip


def _call(config: Config, summary: str, *in_path: str) -> dict[str, Any]:
    json_error = {"application/json": {"schema": ERROR_FORM}}
    return {
        "post": {
            "tags": ["predict"],
            "summary": summary,
            "operationId": "predict_" + "_".join(in_path or ("default",)),
            "parameters": [*(_PATH_PARAMETERS[name] for name in in_path), *_PARAMETERS, _timeout(config)],
            "requestBody": _BODY,
            "responses": {
                "200": {
                    "description": "One result per image, in order; each may hold an error of its own",
                    "headers": {"Server-Timing": {"schema": _TEXT}, "X-Request-ID": {"schema": _TEXT}},
                    "content": {"application/json": {"schema": _ANSWER}},
                },
                **{str(code): {"description": text, "content": json_error} for code, text in _ERRORS.items()},
            },
        }
    }


def predict_openapi(config: Config) -> dict[str, Any]:
    """Path → call, with the bounds that this server was given."""
    return {
        "/v1/predict": _call(config, "Classify with the default model"),
        "/v1/models/{model}/predict": _call(config, "Classify with a model's newest version", "model"),
        "/v1/models/{model}/versions/{version}/predict": _call(config, "Classify with one version", "model", "version"),
    }
