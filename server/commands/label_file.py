"""Class names from a person's file: lines of text, a JSON list, or a JSON object of numbers to names."""

import json
from pathlib import Path

from model_zoo.errors import ImportRefusedError
from model_zoo.labels import imagenet_labels

_MAX_BYTES = 16 * 2**20


def read_label_file(name: str) -> tuple[str, ...]:
    """Read class names, in the order of the model's outputs.

    Args:
        name: a path, or ``imagenet`` for the 1,000 names of ImageNet-1k.
    Raises:
        ImportRefusedError: unreadable, or neither of the three forms.
    """
    if name == "imagenet":
        return imagenet_labels()
    path = Path(name)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ImportRefusedError(f"{name} is too large for a list of class names")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ImportRefusedError(f"{name} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ImportRefusedError(f"{name} is not UTF-8 text") from error
    names = _from_json(name, text) if path.suffix.lower() == ".json" else [line.strip() for line in text.splitlines()]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise ImportRefusedError(f"{name} holds no class names")
    return tuple(names)


def _from_json(name: str, text: str) -> list[str]:
    try:
        content = json.loads(text)
        if isinstance(content, dict):
            numbered = {int(key): value for key, value in content.items()}
            content = [numbered[index] for index in range(len(content))]
    except (ValueError, KeyError, RecursionError) as error:
        raise ImportRefusedError(
            f"{name} is not a JSON list of names, nor an object from 0, 1, 2 … to names"
        ) from error
    if not isinstance(content, list) or not all(isinstance(label, str) for label in content):
        raise ImportRefusedError(f"{name} is not a JSON list of names")
    return content
