"""Every way a request can end badly, and what each protocol calls it.

ServingError
├── InvalidRequestError       invalid_request
├── UnauthorizedError         unauthorized
├── ForbiddenError            forbidden
├── BodyTimeoutError          body_timeout
├── BodyTooLargeError         body_too_large
├── OverloadedError           overloaded          Retry-After
├── RateLimitedError          rate_limited        Retry-After
├── NotReadyError             not_ready           Retry-After
├── DrainingError             draining            Retry-After
├── ModelUnavailableError     backend_unavailable Retry-After
├── DeadlineExceededError     deadline_exceeded
├── AbandonedError            abandoned           the caller left; nobody is told
├── SupersededError           superseded          a newer frame of its stream took its place
└── InternalError             internal

The trees of ``model_zoo.errors`` and ``server.backends.errors`` keep their own
codes. ``STATUSES`` below is the only place where a code becomes a status.
"""

import math
from typing import ClassVar, NamedTuple

from model_zoo.errors import ModelZooError
from server.backends.errors import BackendError


class ServingError(Exception):
    """Base of the tree. ``retry_after_s`` becomes a Retry-After header."""

    code: ClassVar[str] = "internal"
    default_retry_after_s: ClassVar[float | None] = None

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = self.default_retry_after_s if retry_after_s is None else retry_after_s


class InvalidRequestError(ServingError):
    """A parameter or a body that does not say what it must."""

    code = "invalid_request"


class UnauthorizedError(ServingError):
    """No key, or one that is not known."""

    code = "unauthorized"


class ForbiddenError(ServingError):
    """Known or not, this caller may not do that."""

    code = "forbidden"


class BodyTimeoutError(ServingError):
    """The body came too slowly."""

    code = "body_timeout"


class BodyTooLargeError(ServingError):
    """The body has more bytes than the limit."""

    code = "body_too_large"


class OverloadedError(ServingError):
    """The queue is full, or the wait would pass the deadline."""

    code = "overloaded"
    default_retry_after_s = 1.0


class RateLimitedError(ServingError):
    """This key asked more often than it may."""

    code = "rate_limited"
    default_retry_after_s = 1.0


class NotReadyError(ServingError):
    """Models are still being loaded, checked and warmed."""

    code = "not_ready"
    default_retry_after_s = 1.0


class DrainingError(ServingError):
    """The server stops; it takes no new work."""

    code = "draining"
    default_retry_after_s = 1.0


class ModelUnavailableError(ServingError):
    """A model was asked to load, and no backend can serve it."""

    code = "backend_unavailable"
    default_retry_after_s = 5.0


class DeadlineExceededError(ServingError):
    """Admitted, but the deadline passed before the answer was there."""

    code = "deadline_exceeded"


class AbandonedError(ServingError):
    """The caller went away before the answer; nobody reads this."""

    code = "abandoned"


class SupersededError(ServingError):
    """A newer frame of the same stream took this one's place while it waited."""

    code = "superseded"


class InternalError(ServingError):
    """A fault of ours. The log has the details, the reply has none."""

    code = "internal"


class Status(NamedTuple):
    """One code in each protocol's words."""

    http: int
    grpc: str


STATUSES: dict[str, Status] = {
    "undecodable_image": Status(400, "INVALID_ARGUMENT"),
    "invalid_request": Status(400, "INVALID_ARGUMENT"),
    "unauthorized": Status(401, "UNAUTHENTICATED"),
    "forbidden": Status(403, "PERMISSION_DENIED"),
    "unknown_model": Status(404, "NOT_FOUND"),
    "not_found": Status(404, "NOT_FOUND"),
    "method_not_allowed": Status(405, "UNIMPLEMENTED"),
    "body_timeout": Status(408, "DEADLINE_EXCEEDED"),
    "superseded": Status(409, "ABORTED"),
    "image_too_large": Status(413, "INVALID_ARGUMENT"),
    "body_too_large": Status(413, "INVALID_ARGUMENT"),
    "unsupported_format": Status(415, "INVALID_ARGUMENT"),
    "upgrade_required": Status(426, "UNIMPLEMENTED"),
    "overloaded": Status(429, "RESOURCE_EXHAUSTED"),
    "rate_limited": Status(429, "RESOURCE_EXHAUSTED"),
    "abandoned": Status(499, "CANCELLED"),
    "internal": Status(500, "INTERNAL"),
    "not_ready": Status(503, "UNAVAILABLE"),
    "draining": Status(503, "UNAVAILABLE"),
    "backend_unavailable": Status(503, "UNAVAILABLE"),
    "deadline_exceeded": Status(504, "DEADLINE_EXCEEDED"),
}

NO_DETAILS = "something went wrong on our side; the server's log has it under this request id"


class Refusal(NamedTuple):
    """An error as a caller is told of it."""

    code: str
    message: str
    retry_after_s: float | None = None

    @property
    def status(self) -> int:
        """The HTTP status."""
        return STATUSES[self.code].http

    @property
    def retry_after(self) -> str | None:
        """The Retry-After header: whole seconds, rounded up."""
        return None if self.retry_after_s is None else str(max(1, math.ceil(self.retry_after_s)))


def refusal_of(error: BaseException) -> Refusal:
    """What a caller is told of an error; faults of ours lose their details."""
    if isinstance(error, ServingError) and error.code != "internal":
        return Refusal(error.code, str(error), error.retry_after_s)
    if isinstance(error, ModelZooError) and error.code in STATUSES:
        return Refusal(error.code, str(error))
    if isinstance(error, BackendError) and error.code in STATUSES:
        return Refusal(error.code, str(error), ModelUnavailableError.default_retry_after_s)
    return Refusal("internal", NO_DETAILS)
