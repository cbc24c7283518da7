"""Who may call: API keys, the admin key, and a rate for each key.

Keys come as ``Authorization: Bearer <key>`` or ``X-API-Key: <key>`` and are
compared in constant time. The rate is a token bucket per key that holds one
second's worth.
"""

import hmac
import time
from collections.abc import Callable

from server.config import Config, is_loopback
from server.errors import ForbiddenError, RateLimitedError, UnauthorizedError

Headers = dict[bytes, bytes]

PROXY_HEADERS = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip"})


def key_of(headers: Headers) -> str | None:
    """The key that a request carries."""
    given = headers.get(b"x-api-key")
    if given is None:
        scheme, _, rest = headers.get(b"authorization", b"").partition(b" ")
        given = rest if scheme.lower() == b"bearer" else None
    return None if given is None else given.decode("latin-1").strip()


class Keys:
    """The doors: ``may_predict`` on every prediction, ``may_administer`` on every change."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        self._api_keys = config.api_keys
        self._admin_key = config.admin_key
        self._open_admin = config.is_loopback and not config.admin_key
        self._rate = config.rate_limit_per_s
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def may_predict(self, headers: Headers) -> None:
        """Let a prediction through.

        Raises:
            UnauthorizedError: keys are asked for and none came.
            ForbiddenError: the key is not one of them.
            RateLimitedError: this key has used its rate.
        """
        if not self._api_keys:
            return
        key = key_of(headers)
        if key is None:
            raise UnauthorizedError("this server asks for a key: send Authorization: Bearer <key> or X-API-Key")
        if not _is_one_of(key, (*self._api_keys, self._admin_key)):
            raise ForbiddenError("this key is not known here")
        self._spend(key)

    def may_administer(self, headers: Headers) -> None:
        """Let a change of what is served through.

        Raises:
            UnauthorizedError: no key came. ForbiddenError: a wrong one, or admin is closed.
        """
        if self._open_admin:
            _refuse_other_sites(headers)
            return
        if not self._admin_key:
            raise ForbiddenError("admin calls are closed: start the server with an admin key, or on a loopback address")
        key = key_of(headers)
        if key is None:
            raise UnauthorizedError("this call asks for the admin key: send Authorization: Bearer <key> or X-API-Key")
        if not _is_one_of(key, (self._admin_key,)):
            raise ForbiddenError("this is not the admin key")

    def _spend(self, key: str) -> None:
        if not self._rate:
            return
        now_s = self._clock()
        capacity = max(1.0, self._rate)
        tokens, then_s = self._buckets.get(key, (capacity, now_s))
        tokens = min(capacity, tokens + (now_s - then_s) * self._rate)
        if tokens < 1.0:
            self._buckets[key] = (tokens, now_s)
            raise RateLimitedError(
                f"this key may ask {self._rate:g} times a second", retry_after_s=(1.0 - tokens) / self._rate
            )
        self._buckets[key] = (tokens - 1.0, now_s)


def _refuse_other_sites(headers: Headers) -> None:
    """Open admin is for this machine's user, not for a page of another site in the user's browser, nor for a proxy."""
    if not PROXY_HEADERS.isdisjoint(headers):
        raise ForbiddenError("admin calls through a proxy need an admin key: the caller may be anybody")
    origin, host = headers.get(b"origin"), headers.get(b"host", b"")
    from_elsewhere = headers.get(b"sec-fetch-site") in (
        b"cross-site",
        b"same-site",
    )  # pictures and links name no origin
    if from_elsewhere or (origin is not None and origin.partition(b"://")[2] != host):
        raise ForbiddenError("admin calls from another site's page are refused")
    name = host.rpartition(b":")[0] if host.rpartition(b":")[2].isdigit() else host
    if not is_loopback(name.decode("latin-1").strip("[]")):
        raise ForbiddenError("admin calls without a key must name this machine as localhost or 127.0.0.1")


def _is_one_of(key: str, known: tuple[str, ...]) -> bool:
    given = key.encode()
    found = False
    for each in known:  # all of them, always: how long this takes must not tell which one was close
        found |= bool(each) and hmac.compare_digest(given, each.encode())
    return found
