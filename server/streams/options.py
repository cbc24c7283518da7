"""A stream's options: read from the query, changed by ``config`` messages, told in ``ready``.

One table names them all. Values in a query are text; in a message they are JSON's.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import orjson

from server.class_activation import EXPLAIN
from server.errors import InvalidRequestError
from server.job_queue import PRIORITIES
from server.predict_options import MAX_TOP_K
from server.query_string import must_be_known, read_query

Policy = Literal["latest", "all"]
MAX_NAME = 200
MAX_SMOOTHING = 0.999


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """What a client asked for. ``model`` None: the default; ``version`` None: the newest."""

    model: str | None = None
    version: int | None = None
    top_k: int = 5
    threshold: float | None = None
    priority: int = 5
    policy: Policy = "latest"
    only_changed: bool = False
    gate: float = 0.0
    smoothing: float = 0.0
    explain: Literal["cam"] | None = None

    def effective(self) -> dict[str, Any]:
        """All of them by the query's names."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Option:
    """What one option takes: as JSON schema, and in words."""

    schema: dict[str, Any]
    words: str
    meaning: str

    def check(self, value: object) -> object:
        """The value, as it is kept.

        Raises:
            ValueError: it is none of those.
        """
        schema = self.schema
        if "enum" in schema:
            fits = value in schema["enum"]
        elif schema["type"] == "boolean":
            fits = isinstance(value, bool)
        elif schema["type"] == "string":
            fits = isinstance(value, str) and schema["minLength"] <= len(value) <= schema["maxLength"]
        else:
            kind = int if schema["type"] == "integer" else (int, float)
            is_number = isinstance(value, kind) and not isinstance(value, bool)
            fits = is_number and schema["minimum"] <= value <= schema["maximum"]
        if not fits:
            raise ValueError(f"must be {self.words}")
        return float(value) if schema.get("type") == "number" else value  # type: ignore[arg-type]


def _whole(low: int, high: int, meaning: str) -> Option:
    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Option(schema, f"a whole number from {low} to {high}", meaning)


def _number(low: float, high: float, meaning: str) -> Option:
    schema = {"type": "number", "minimum": low, "maximum": high}
    return Option(schema, f"a number from {low:g} to {high:g}", meaning)


def _one_of(*names: str, meaning: str) -> Option:
    return Option({"enum": list(names)}, " or ".join(names), meaning)


OPTIONS: dict[str, Option] = {
    "model": Option(
        {"type": "string", "minLength": 1, "maxLength": MAX_NAME},
        f"a name of 1 to {MAX_NAME} characters",
        "who answers; without it the default model",
    ),
    "version": _whole(1, 999_999_999, "one version of it; without it the newest that is served"),
    "top_k": _whole(1, MAX_TOP_K, "how many classes, best first"),
    "threshold": _number(-1e9, 1e9, "leave out classes that score less"),
    "priority": _whole(0, PRIORITIES - 1, "0 is served first, 9 last"),
    "policy": _one_of("latest", "all", meaning="the newest frame takes a waiting one's place, or none is lost"),
    "only_changed": Option(
        {"type": "boolean"}, "true or false", "tell a result in short while the best class stays the same"
    ),
    "gate": _number(0, 255, "a frame that differs by at most this much from the last one run gets its answer; 0: off"),
    "smoothing": _number(0, MAX_SMOOTHING, "weight of the past in the scores; 0: off"),
    "explain": _one_of(EXPLAIN, meaning="where the picture speaks for its best class"),
}
AS_TEXT = frozenset({"model", "policy", "explain"})
MAY_BE_NULL = frozenset({"version", "threshold", "explain"})


def parse_query(query: bytes) -> StreamOptions:
    """Read the query of a handshake.

    Raises:
        InvalidRequestError: a name that is not known or comes twice, or a value out of bounds.
    """
    texts = read_query(query, OPTIONS)
    given = {name: text if name in AS_TEXT else _value_of(text) for name, text in texts.items()}
    return replace(StreamOptions(), **_checked(given))


def changed(options: StreamOptions, message: Mapping[str, object]) -> StreamOptions:
    """What a ``config`` message makes of the options; another model without a version is its newest one.

    Raises:
        InvalidRequestError: as for ``parse_query``; nothing is changed then.
    """
    given = {name: value for name, value in message.items() if name != "type"}
    for name in given:
        must_be_known(name, OPTIONS)
    if "model" in given:
        given.setdefault("version", None)
    nulls: dict[str, Any] = {name: None for name, value in given.items() if value is None and name in MAY_BE_NULL}
    return replace(options, **nulls, **_checked({name: given[name] for name in given if name not in nulls}))


def _checked(given: Mapping[str, object]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in given.items():
        try:
            values[name] = OPTIONS[name].check(value)
        except ValueError as error:
            raise InvalidRequestError(f"{name} {error}, not {told_back(value)}") from None
    return values


def told_back(value: object) -> str:
    """A stranger's value in a message, cut short. Not what a list or an object holds: it may be too deep to print."""
    if isinstance(value, list):
        return "a list"
    return "an object" if isinstance(value, dict) else repr(str(value)[:40])


def _value_of(text: str) -> object:
    """A number or a flag from text; what is neither stays text, which no option but names takes."""
    try:
        value: object = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return text if isinstance(value, float) and not math.isfinite(value) else value
