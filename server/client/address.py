"""Where a server is, and how its calls are spelt."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit

SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
Query = dict[str, str]
Option = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Address:
    """A server's base: ``http://host:port`` and the path before ``/v1``, if there is one."""

    scheme: str
    authority: str
    path: str

    def http(self, path: str, query: Query | None = None) -> str:
        """The URL of a call."""
        return self._spelt(self.scheme, path, query)

    def websocket(self, path: str, query: Query | None = None) -> str:
        """The URL of a stream."""
        return self._spelt("wss" if self.scheme == "https" else "ws", path, query)

    def __str__(self) -> str:
        return self._spelt(self.scheme, "", None)

    def _spelt(self, scheme: str, path: str, query: Query | None) -> str:
        words = f"?{urlencode(query)}" if query else ""
        return f"{scheme}://{self.authority}{self.path}{path}{words}"

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine by its name; no proxy is asked for that."""
        host = urlsplit(f"//{self.authority}").hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")


def parse_address(url: str) -> Address:
    """Read a server's address; ``host:port`` alone means http.

    Raises:
        ValueError: it cannot be one; the message says why.
    """
    if not url.isascii() or any(character.isspace() for character in url):
        raise ValueError(f"'{url}' is no address of a server: it has characters that a URL may not have")
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise ValueError(f"'{url}' is no address of a server: give http://HOST:PORT")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError(f"'{url}': give the address alone; a key goes into key, options into the call")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError(f"'{url}' is no address of a server: the port must be a number up to 65535") from None
    return Address(SCHEMES[parts.scheme], parts.netloc, parts.path.rstrip("/"))


def predict_path(model: str | None, version: int | None) -> str:
    """The path of a prediction.

    Raises:
        ValueError: a version of no model.
    """
    if model is None:
        if version is not None:
            raise ValueError("version needs model")
        return "/v1/predict"
    name = quote(model, safe="")
    return f"/v1/models/{name}/predict" if version is None else f"/v1/models/{name}/versions/{version}/predict"


def query_of(**options: Option) -> Query:
    """The options that were given; None is the server's own default and is left out."""
    return {name: _word(value) for name, value in options.items() if value is not None}


def _word(value: str | int | float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def key_headers(key: str | None) -> dict[str, str]:
    """The header that carries a key.

    Raises:
        ValueError: it has characters that a header may not have.
    """
    if key is None:
        return {}
    if not key or not all("!" <= character <= "~" for character in key):
        raise ValueError("a key is made of visible ASCII characters, without spaces")
    return {"Authorization": f"Bearer {key}"}
