"""Engine-specific settings: ``BackendOptions.extra`` has keys such as ``openvino.precision``.

Each engine reads the keys that begin with its own name and refuses those it
does not know; other engines' keys are none of its business.
"""

from collections.abc import Collection
from typing import Literal

from server.backends import BackendOptions
from server.backends.errors import BackendLoadError

Decode = Literal["auto", "gpu", "cpu"]
DECODE: tuple[Decode, ...] = ("auto", "gpu", "cpu")

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def own_extras(options: BackendOptions, backend: str, known: Collection[str]) -> dict[str, str]:
    """The settings for ``backend``, without its name before them.

    Raises:
        BackendLoadError: a setting that it does not have.
    """
    prefix = f"{backend}."
    own = {key.removeprefix(prefix): value for key, value in options.extra.items() if key.startswith(prefix)}
    for key in own:
        if key not in known:
            raise BackendLoadError(f"{backend} has no setting '{prefix}{key}'; it has: {', '.join(sorted(known))}")
    return own


def as_flag(key: str, value: str) -> bool:
    """A yes or no.

    Raises:
        BackendLoadError: neither.
    """
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise BackendLoadError(f"'{key}' must be 1 or 0, not '{value}'")


def as_decode(key: str, value: str, *, on_gpu: bool) -> Decode:
    """Who decodes JPEGs; ``auto`` is ``cpu`` on a CPU.

    Raises:
        BackendLoadError: nobody that there is.
    """
    for where in DECODE:
        if value == where:
            return "cpu" if where == "auto" and not on_gpu else where
    raise BackendLoadError(f"'{key}' must be one of {', '.join(DECODE)}, not '{value}'")


def as_number(key: str, value: str) -> float:
    """A number from 0.

    Raises:
        BackendLoadError: not a number, negative or not finite.
    """
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise BackendLoadError(f"'{key}' must be a number from 0, not '{value}'")
    return number
