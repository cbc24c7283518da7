"""Optuna keeps scalars; a choice that is a list or a table is kept as its JSON."""

import json

from optimize.search.options import Scalar, Value

_MARK = "json:"


def to_stored(value: Value) -> Scalar:
    """What Optuna is given for ``value``."""
    return _MARK + json.dumps(value, sort_keys=True) if isinstance(value, list | dict) else value


def from_stored(stored: Scalar) -> Value:
    """The value that a recipe is given for what Optuna chose."""
    if isinstance(stored, str) and stored.startswith(_MARK):
        value: Value = json.loads(stored.removeprefix(_MARK))
        return value
    return stored
