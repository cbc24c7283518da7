"""Whether a value fits a setting, and in which words that is refused.

A flag and a variable are text, and text may stand for a number. A TOML file has types of
its own: there ``port = true`` is not 1, and ``port = "8000"`` is not a number.
"""

import json
import math
from typing import Any

from pydantic import TypeAdapter, ValidationError

_NOT_TEXT = {"integer": "a whole number", "number": "a number", "boolean": "true or false"}
_WORDS = {**_NOT_TEXT, "string": "a text", "array": "a list of texts"}
_BOUNDS = {
    "minimum": " from {:g}",
    "exclusiveMinimum": " above {:g}",
    "maximum": ", at most {:,.0f}",
    "exclusiveMaximum": ", less than {:g}",
    "minLength": ", not empty",
}
_LONGEST_SHOWN = 100


def takes(hint: Any) -> str:  # noqa: ANN401 (a type, or an annotated one)
    """What a setting takes, in words: ``a whole number, 0 to 65,535``."""
    schema = TypeAdapter(hint).json_schema()
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    if "minimum" in schema and "maximum" in schema:
        return f"{_WORDS[schema['type']]}, {schema['minimum']:g} to {schema['maximum']:,.0f}"
    bounds = (text.format(schema[name]) for name, text in _BOUNDS.items() if name in schema)
    return _WORDS[schema["type"]] + "".join(bounds)


def fitted(raw: object, hint: Any, *, typed: bool) -> Any:  # noqa: ANN401
    """The value as the setting's type.

    Args:
        typed: it has a type already, TOML's; otherwise text may stand for a number.
    Raises:
        ValueError: it does not fit; the message says what the setting takes.
    """
    given = tuple(raw) if isinstance(raw, list) else raw
    try:
        value = TypeAdapter(hint).validate_python(given, strict=typed)
    except ValidationError:
        advice = _advice(hint) if typed and isinstance(raw, str) else ""
        raise ValueError(f"it takes {takes(hint)}{advice}") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"it takes {takes(hint)}, not infinity")
    return value


def _advice(hint: Any) -> str:  # noqa: ANN401
    """How to write in TOML what came as a text."""
    kind = TypeAdapter(hint).json_schema()["type"]
    return ", without quotes" if kind in _NOT_TEXT else ': ["…", "…"]' if kind == "array" else ""


def shown(raw: object) -> str:
    """A value much as a TOML file has it, cut where it is long."""
    text = json.dumps(raw, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
