"""Parts of a run's folder as JSON: written whole or not at all, read as what they are or not at all."""

import json
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from optimize.errors import DataError
from optimize.training.durable import write_whole

T = TypeVar("T")


def save_json(path: Path, value: object) -> None:
    """Write a dataclass; no NaN may be in it.

    Raises:
        RunError: the disk refused.
    """
    text = json.dumps(TypeAdapter(type(value)).dump_python(value, mode="json"), indent=1, allow_nan=False)
    write_whole(path, f"{text}\n".encode())


def load_json(path: Path, kind: type[T], what: str) -> T:
    """Read what ``save_json`` wrote; ``what`` it is, for the message.

    Raises:
        DataError: it is not there, or something else.
    """
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(f"{path}: no {what} can be read from it: {error}") from error
