"""What both clients are made with and know without asking."""

import ssl
from typing import Any

from server.client.address import Option, key_headers, parse_address, query_of
from server.client.calls import Posting, posting
from server.client.retries import Retries
from server.client.stream_target import Format, StreamOptions, StreamTarget, Timeouts

DEFAULT_URL = "http://127.0.0.1:8000"
AGENT = "quickeye-client"


class ClientBase:
    """A server's address and how it is spoken to; no connection.

    Args:
        url: ``http://HOST:PORT``; what stands before ``/v1`` behind a proxy may follow.
        key: the API key, if the server asks for one.
        timeout_s: for a connection, and for the server's answer to one call.
        retries: how often ``predict`` asks again where the server was not reached, overloaded or not ready,
            after as long as it says (Retry-After), else a growing pause.
        proxies: use the proxies of the environment (never for this machine itself).
        tls: for https with certificates of your own.
    Raises:
        ValueError: no address of a server, or no key.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        key: str | None = None,
        timeout_s: float = 30.0,
        retries: int = 0,
        proxies: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.address = parse_address(url)
        self._headers = {"User-Agent": AGENT, **key_headers(key)}
        self._timeout_s = timeout_s
        self._retries = Retries(retries)
        self._proxies = proxies and not self.address.is_loopback
        self._tls = tls

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.address)!r})"

    def _http_settings(self) -> dict[str, Any]:
        """For ``httpx.Client`` or ``httpx.AsyncClient``."""
        # Reading the system's certificates takes 30 ms; for plain http a context that trusts nobody is enough.
        trusting_nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if self.address.scheme == "http" else True
        return {
            "headers": self._headers,
            "timeout": self._timeout_s,
            "trust_env": self._proxies,
            "verify": self._tls or trusting_nobody,
        }

    def _posting(self, pictures: list[bytes], model: str | None, version: int | None, **options: Option) -> Posting:
        return posting(self.address, pictures, model, version, self._timeout_s, **options)

    def _target(
        self,
        max_inflight: int | None,
        max_unread: int,
        format: Format,
        timeouts: Timeouts,
        options: StreamOptions,
    ) -> StreamTarget:
        for name, value in (("max_inflight", max_inflight), ("max_unread", max_unread)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        url = self.address.websocket("/v1/stream", query_of(**options))
        return StreamTarget(url, self._headers, timeouts, self._proxies, self._tls, format, max_inflight, max_unread)
