"""What a session tells its client, and how that is written: JSON text, or MessagePack."""

import base64
from collections.abc import Callable
from typing import Any

import orjson
import ormsgpack

from model_zoo.spec import ModelSpec
from server.exchange import Message
from server.job import Answer
from server.results import answered_result, stages_ms
from server.streams.frame import Stamp

Event = dict[str, Any]
Format = Callable[[Event], Message]

KEY_PREFIX = "quickeye.key."


def as_json(event: Event) -> Message:
    """A text message; bytes become base64."""
    return {"type": "websocket.send", "text": orjson.dumps(event, default=_base64).decode()}


def as_msgpack(event: Event) -> Message:
    """A binary message; bytes stay as they are."""
    return {"type": "websocket.send", "bytes": ormsgpack.packb(event)}


# subprotocol -> how events are written
FORMATS: dict[str, Format] = {"quickeye.json": as_json, "quickeye.msgpack": as_msgpack}


def result(stamp: Stamp, spec: ModelSpec, answer: Answer, age_s: float) -> Event:
    """A frame was answered by the model of ``spec``."""
    return {
        "type": "result",
        "seq": stamp.seq,
        "captured_at": stamp.captured_at,
        "model": spec.name,
        "version": spec.version,
        **answered_result(answer, stages_ms(answer.times), spec.input, as_text=False),
        "age_ms": round(age_s * 1e3, 3),
        "reused": answer.reused,
    }


def unchanged(event: Event) -> Event:
    """The same result, told in short: its best class is the one that was told last, and as (un)known."""
    return {**event, "predictions": [], "unchanged": True}


def dropped(stamp: Stamp, reason: str) -> Event:
    """A frame was not run, or not in time: ``superseded``, ``stale`` or ``overloaded``."""
    return {"type": "dropped", "seq": stamp.seq, "captured_at": stamp.captured_at, "reason": reason}


def error(seq: int | None, captured_at: float | None, code: str, message: str) -> Event:
    """A frame or a message was refused."""
    return {"type": "error", "seq": seq, "captured_at": captured_at, "code": code, "message": message}


def _base64(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"no event holds {type(value).__name__}")
