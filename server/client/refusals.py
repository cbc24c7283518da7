"""From an HTTP answer that is an error to the exception that says so; the same for calls and handshakes."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from server.client.errors import RefusedError, UnexpectedReplyError
from server.client.replies import result_of

MAX_SHOWN = 200


def document_of(body: bytes | bytearray, what: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        UnexpectedReplyError: the body is none.
    """
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise UnexpectedReplyError(f"the answer to {what} is not JSON: is this a Quickeye server? {_shown(body)}")
    return document


def refusal_of(status: int, headers: Mapping[str, str], body: bytes | bytearray, address: str) -> RefusedError:
    """What an HTTP error says; one without our form is called ``http_<status>``."""
    retry_after_s = seconds_of(headers.get("Retry-After"))
    try:
        document = json.loads(body)
        error = document["error"]
        return RefusedError(
            str(error["message"]),
            status=status,
            code=str(error["code"]),
            request_id=error.get("request_id"),
            retry_after_s=retry_after_s,
            results=tuple(result_of(entry) for entry in document.get("results", ())),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        message = f"{address} answered {status}, and not in a Quickeye server's form: is it one? {_shown(body)}"
        return RefusedError(message.strip(), status=status, code=f"http_{status}", retry_after_s=retry_after_s)


def seconds_of(retry_after: str | None, now: datetime | None = None) -> float | None:
    """A Retry-After header in seconds: a number or a date; None when absent or not understood."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())


def _shown(body: bytes | bytearray) -> str:
    text = bytes(body[: 4 * MAX_SHOWN]).decode("utf-8", "replace")
    words = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return f"It begins with: {words[:MAX_SHOWN]}" if words else ""
