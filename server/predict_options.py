"""The query string of a prediction: what it may say, within which bounds."""

import math
from dataclasses import dataclass

from server.class_activation import wants_explanation
from server.config import Config
from server.errors import InvalidRequestError
from server.job import JobOptions
from server.job_queue import PRIORITIES
from server.query_string import read_query

MAX_TOP_K = 1000
KNOWN = ("top_k", "timeout_ms", "priority", "threshold", "explain")


@dataclass(frozen=True, slots=True)
class PredictOptions:
    """One request's options, checked.

    ``timeout_s`` counts from when the body is complete: a slow line is not the server's fault.
    """

    job: JobOptions
    timeout_s: float
    priority: int


def defaults(config: Config) -> PredictOptions:
    """What a request without a query string gets."""
    return PredictOptions(JobOptions(), config.timeout_ms / 1e3, 5)


def parse_options(query: bytes, config: Config) -> PredictOptions:
    """Read a query string.

    Raises:
        InvalidRequestError: a name that is not known or comes twice, or a value out of bounds.
    """
    values = read_query(query, KNOWN)
    return PredictOptions(
        job=JobOptions(
            top_k=_integer(values.get("top_k", "5"), "top_k", 1, MAX_TOP_K),
            threshold=_number(values["threshold"], "threshold", -1e9, 1e9) if "threshold" in values else -math.inf,
            explain="explain" in values and wants_explanation(values["explain"]),
        ),
        timeout_s=_timeout_s(values, config),
        priority=_integer(values.get("priority", "5"), "priority", 0, PRIORITIES - 1),
    )


def _timeout_s(values: dict[str, str], config: Config) -> float:
    if "timeout_ms" not in values:
        return config.timeout_ms / 1e3
    return _number(values["timeout_ms"], "timeout_ms", 1, config.max_timeout_ms) / 1e3


def _integer(text: str, name: str, low: int, high: int) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18) or not low <= int(text) <= high:
        raise InvalidRequestError(f"{name} must be a whole number from {low} to {high}, not {text[:40]!r}")
    return int(text)


def _number(text: str, name: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise InvalidRequestError(f"{name} must be a number from {low:g} to {high:g}, not {text[:40]!r}")
    return value
