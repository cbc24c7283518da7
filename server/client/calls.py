"""The HTTP calls without a connection: what both clients send, and how they read what comes back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from server.client.address import Address, Option, predict_path, query_of
from server.client.errors import ClientError, TimedOutError, UnexpectedReplyError, UnreachableError
from server.client.pixels import Frame, encoded, is_pixels
from server.client.refusals import document_of, refusal_of
from server.client.replies import Reply, ServedModel, models_of, reply_of

if TYPE_CHECKING:
    import httpx

Picture = Frame | str | PathLike[str]
Pictures = Picture | Sequence[Picture]

# The server answers after the deadline at the latest; this much more for the way.
AFTER_DEADLINE_S = 5.0


@dataclass(frozen=True, slots=True)
class Posting:
    """Pictures on their way: one is the body itself, several are a form."""

    url: str
    pictures: tuple[bytes, ...] = field(repr=False)
    read_timeout_s: float

    def request(self, client: "httpx.Client | httpx.AsyncClient") -> "httpx.Request":
        """The request, by that client's settings."""
        import httpx

        base = client.timeout
        timeout = httpx.Timeout(connect=base.connect, read=self.read_timeout_s, write=base.write, pool=base.pool)
        if len(self.pictures) == 1:
            kind = {"Content-Type": "application/octet-stream"}
            return client.build_request("POST", self.url, content=self.pictures[0], headers=kind, timeout=timeout)
        files = [("file", (str(number), data)) for number, data in enumerate(self.pictures)]
        return client.build_request("POST", self.url, files=files, timeout=timeout)


def posting(
    address: Address,
    pictures: Sequence[bytes],
    model: str | None,
    version: int | None,
    timeout_s: float,
    **options: Option,
) -> Posting:
    """A prediction's request; ``options`` go into its query.

    Raises:
        ValueError: a version of no model.
    """
    deadline_ms = options.get("timeout_ms")
    least_s = 0.0 if deadline_ms is None else float(deadline_ms) / 1e3 + AFTER_DEADLINE_S
    url = address.http(predict_path(model, version), query_of(**options))
    return Posting(url, tuple(pictures), max(timeout_s, least_s))


def read_pictures(pictures: Pictures) -> list[bytes]:
    """The bytes of every picture; files are read. One array is one body, of one picture or of several.

    Raises:
        OSError: a file can't be read. ValueError: no pictures. TypeError: something else.
    """
    if isinstance(pictures, bytes | bytearray | memoryview | str | PathLike) or is_pixels(pictures):
        return [_bytes_of(pictures)]
    each: list[Picture] = list(pictures)  # type: ignore[arg-type] # an array has its own branch
    if not each:
        raise ValueError("no pictures: give the bytes or the path of at least one")
    return [_bytes_of(picture) for picture in each]


def reply_in(response: "httpx.Response") -> Reply:
    """The answer to ``predict``.

    Raises:
        RefusedError, UnexpectedReplyError.
    """
    must_be_ok(response)
    return reply_of(document_of(response.content, "predict"))


def models_in(response: "httpx.Response") -> tuple[ServedModel, ...]:
    """The catalogue.

    Raises:
        RefusedError, UnexpectedReplyError.
    """
    must_be_ok(response)
    document = document_of(response.content, "models")
    if not isinstance(document.get("models"), list):
        raise UnexpectedReplyError("the catalogue holds no models: is this a Quickeye server?")
    return models_of(document["models"])


def ready_in(response: "httpx.Response") -> bool:
    """Whether the server takes pictures.

    Raises:
        RefusedError: it answers neither 200 nor 503.
    """
    if response.status_code == 503:
        return False
    must_be_ok(response)
    return True


def must_be_ok(response: "httpx.Response") -> None:
    """Let a 200 through.

    Raises:
        RefusedError: any other.
    """
    if response.status_code != 200:
        url = response.request.url
        where = f"{url.scheme}://{url.netloc.decode('ascii')}{url.path}"
        raise refusal_of(response.status_code, response.headers, response.content, where)


def failure_of(error: "httpx.TransportError", address: Address, timeout_s: float) -> ClientError:
    """An exception of httpx as ours."""
    import httpx

    if isinstance(error, httpx.ConnectTimeout | httpx.ReadTimeout | httpx.WriteTimeout | httpx.PoolTimeout):
        return TimedOutError(f"{address} did not answer within {timeout_s:g} s")
    if isinstance(error, httpx.RemoteProtocolError):
        return UnreachableError(f"{address} broke the connection off, or does not speak HTTP: {error}")
    return UnreachableError(f"can't reach {address}: {str(error) or type(error).__name__}")


def _bytes_of(picture: Picture) -> bytes:
    return Path(picture).read_bytes() if isinstance(picture, str | PathLike) else encoded(picture)
