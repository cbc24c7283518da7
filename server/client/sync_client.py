"""The client for programs without an event loop."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from server.client.calls import Pictures, failure_of, models_in, read_pictures, ready_in, reply_in
from server.client.client_base import ClientBase
from server.client.errors import ClientError, UnreachableError
from server.client.replies import Reply, ServedModel
from server.client.stream_target import MAX_UNREAD_EVENTS, PATIENT, Format, StreamOptions, Timeouts
from server.client.sync_stream import Stream

if TYPE_CHECKING:
    import httpx


class Client(ClientBase):
    """A server; ``AsyncClient`` has the same calls for programs with an event loop.

    ::

        with Client("http://127.0.0.1:8000") as client:
            reply = client.predict(Path("photo.jpg"), top_k=1)
            print(reply.best)

    Any number of threads may use one client. What it is made with: ``ClientBase``.
    """

    _http: "httpx.Client | None" = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connections that were kept; streams are not touched."""
        if self._http is not None:
            self._http.close()

    def predict(
        self,
        pictures: Pictures,
        *,
        model: str | None = None,
        version: int | None = None,
        top_k: int | None = None,
        threshold: float | None = None,
        timeout_ms: float | None = None,
        priority: int | None = None,
        explain: str | None = None,
    ) -> Reply:
        """Classify one picture, or several in one request; what is None is the server's default (docs/http.md).

        Args:
            pictures: encoded bytes, the path of a file or an array of pixels, or a list of these; or one array of
                several pictures. Of several, each fails alone: see ``error`` of its result.
        Raises:
            RefusedError: the server's answer is an error (for several pictures: all of them failed).
            UnreachableError, TimedOutError, UnexpectedReplyError.
            OSError, ValueError, TypeError: before anything was sent.
        """
        request = self._posting(
            read_pictures(pictures), model, version,
            top_k=top_k, threshold=threshold, timeout_ms=timeout_ms, priority=priority, explain=explain,
        )  # fmt: skip
        attempt = 0
        while True:
            try:
                return reply_in(self._sent(request.request(self._connections())))
            except ClientError as error:
                pause_s = self._retries.pause_s(attempt, error)
                if pause_s is None:
                    raise
            time.sleep(pause_s)
            attempt += 1

    def models(self) -> tuple[ServedModel, ...]:
        """The catalogue: every model and version that answers.

        Raises:
            RefusedError, UnreachableError, TimedOutError, UnexpectedReplyError.
        """
        return models_in(self._get("/v1/models"))

    def ready(self) -> bool:
        """Whether the server takes pictures now; False also when nobody answers there.

        Raises:
            RefusedError: something else than a Quickeye server answers. TimedOutError.
        """
        try:
            return ready_in(self._get("/readyz"))
        except UnreachableError:
            return False

    def stream(
        self,
        *,
        max_inflight: int | None = None,
        max_unread: int = MAX_UNREAD_EVENTS,
        format: Format = "json",
        timeouts: Timeouts = PATIENT,
        **options: Unpack[StreamOptions],
    ) -> Stream:
        """A stream of frames, opened by ``with``; see ``Stream``.

        Args:
            max_inflight: frames without an event; None: 2 under ``latest``, what the server takes under ``all``.
            max_unread: events that may wait to be read.
            format: how the server writes events; ``msgpack`` needs the package ``ormsgpack``.
            options: ``model``, ``version``, ``top_k``, ``threshold``, ``priority``, ``policy``, ``only_changed``,
                ``gate``, ``smoothing``, ``explain``: see docs/streaming.md.
        Raises:
            On opening: RefusedError, UnreachableError, TimedOutError, UnexpectedReplyError.
        """
        return Stream(self._target(max_inflight, max_unread, format, timeouts, options))

    def _connections(self) -> "httpx.Client":
        import httpx

        if self._http is None:
            self._http = httpx.Client(**self._http_settings())
        return self._http

    def _get(self, path: str) -> "httpx.Response":
        return self._sent(self._connections().build_request("GET", self.address.http(path)))

    def _sent(self, request: "httpx.Request") -> "httpx.Response":
        import httpx

        try:
            return self._connections().send(request)
        except httpx.TransportError as error:
            raise failure_of(error, self.address, self._timeout_s) from error
