"""Codes and statuses: one table, and nothing of ours leaks."""

import pytest

import model_zoo.errors
import server.backends.errors
import server.errors
from model_zoo.errors import ImageTooLargeError, UndecodableImageError, UnknownModelError, UnsupportedFormatError
from server.backends.errors import BackendError, BackendUnavailableError
from server.errors import STATUSES, OverloadedError, ServingError, refusal_of

# The table of the HTTP contract.
CONTRACT = {
    "undecodable_image": 400, "invalid_request": 400, "unauthorized": 401, "forbidden": 403, "unknown_model": 404,
    "body_timeout": 408, "image_too_large": 413, "body_too_large": 413, "unsupported_format": 415, "overloaded": 429,
    "rate_limited": 429, "not_ready": 503, "draining": 503, "backend_unavailable": 503, "deadline_exceeded": 504,
    "internal": 500,
}  # fmt: skip


@pytest.mark.parametrize(("code", "status"), CONTRACT.items())
def test_every_code_of_the_contract_has_its_status(code: str, status: int) -> None:
    assert STATUSES[code].http == status


def test_every_serving_error_has_a_status_and_its_own_code() -> None:
    kinds = [kind for kind in vars(server.errors).values() if isinstance(kind, type) and issubclass(kind, ServingError)]
    codes = [kind.code for kind in kinds if kind is not ServingError]
    assert len(kinds) > 10
    assert len(set(codes)) == len(codes)
    assert set(codes) <= set(STATUSES)


@pytest.mark.parametrize("module", [model_zoo.errors, server.backends.errors, server.errors])
def test_the_docstring_is_the_tree(module: object) -> None:
    names = [name for name, kind in vars(module).items() if isinstance(kind, type) and issubclass(kind, Exception)]
    document = module.__doc__ or ""
    own = [name for name in names if vars(module)[name].__module__ == getattr(module, "__name__", "")]
    assert [name for name in own if name not in document] == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UndecodableImageError("why"), "undecodable_image"),
        (UnsupportedFormatError("why"), "unsupported_format"),
        (ImageTooLargeError("why"), "image_too_large"),
        (UnknownModelError("why"), "unknown_model"),
        (BackendUnavailableError("why"), "backend_unavailable"),
    ],
)
def test_errors_of_the_lower_layers_keep_their_codes_and_words(error: Exception, code: str) -> None:
    assert refusal_of(error)[:2] == (code, "why")


@pytest.mark.parametrize("error", [ValueError("/etc/secret"), BackendError("/etc/secret"), KeyError("x")])
def test_faults_of_ours_lose_their_details(error: Exception) -> None:
    refusal = refusal_of(error)
    assert refusal.code == "internal"
    assert "secret" not in refusal.message


def test_retry_after_is_whole_seconds_rounded_up() -> None:
    assert refusal_of(OverloadedError("busy", retry_after_s=1.2)).retry_after == "2"
    assert refusal_of(OverloadedError("busy", retry_after_s=0.01)).retry_after == "1"
    assert refusal_of(UnknownModelError("no")).retry_after is None
