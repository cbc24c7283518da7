"""``/v1/stream`` in AsyncAPI 3: what may be sent, what it is answered with, and examples that the server takes.

``tests/server/routes/test_stream_asyncapi.py`` holds the document to AsyncAPI's own schema, sends every
example, and holds what comes back to the schemas in it.
"""

from typing import Any

from server.routes.stream_messages import EXAMPLES, OPTION_SCHEMAS, SCHEMAS, SUMMARIES, Schema

DESCRIPTION = """\
Frames in, one event for each out. A frame is a binary message: an encoded picture, or 16 bytes (`QE01`, uint32 seq,
float64 captured_at, little-endian) and an encoded picture. Everything else is JSON text; with the subprotocol
`quickeye.msgpack` the server's events are MessagePack maps in binary messages, with the same names.
docs/streaming.md draws the sequence and tells when which event comes."""

# What a client may send -> what it is answered with.
REPLIES: dict[str, tuple[str, ...]] = {
    "frame": ("result", "dropped", "error"),
    "configure": ("configured", "error"),
    "ping": ("pong", "error"),
    "askStats": ("stats",),
    "end": ("stats",),
}


def document(host: str) -> dict[str, Any]:
    """The AsyncAPI document of the server at ``host`` (name and port)."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Quickeye streams", "version": "1", "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": {"this": {"host": host, "protocol": "ws", "description": "wss behind a proxy that speaks TLS"}},
        "channels": {"stream": _channel()},
        "operations": {
            **{name: _operation(name, replies) for name, replies in REPLIES.items()},
            "ready": {"action": "send", "channel": _ref("channels/stream"), "messages": [_in_channel("ready")]},
        },
        "components": {"messages": {name: _message(name) for name in SCHEMAS}},
    }


def _ref(place: str) -> Schema:
    return {"$ref": f"#/{place}"}


def _in_channel(name: str) -> Schema:
    return _ref(f"channels/stream/messages/{name}")


def _channel() -> Schema:
    query = {"type": "object", "properties": OPTION_SCHEMAS, "additionalProperties": False}
    return {
        "address": "/v1/stream",
        "description": DESCRIPTION,
        "messages": {name: _ref(f"components/messages/{name}") for name in SCHEMAS},
        "bindings": {"ws": {"method": "GET", "query": query, "bindingVersion": "0.1.0"}},
    }


def _operation(name: str, replies: tuple[str, ...]) -> Schema:
    stream = _ref("channels/stream")
    return {
        "action": "receive",
        "channel": stream,
        "summary": SUMMARIES[name],
        "messages": [_in_channel(name)],
        "reply": {"channel": stream, "messages": [_in_channel(each) for each in replies]},
    }


def _message(name: str) -> Schema:
    content_type = "application/octet-stream" if name == "frame" else "application/json"
    return {
        "name": name,
        "summary": SUMMARIES[name],
        "contentType": content_type,
        "payload": SCHEMAS[name],
        "examples": [{"payload": payload} for payload in EXAMPLES[name]],
    }
