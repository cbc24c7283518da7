"""The client for programs with an event loop."""

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from server.client.async_stream import AsyncStream
from server.client.calls import Pictures, failure_of, models_in, read_pictures, ready_in, reply_in
from server.client.client_base import ClientBase
from server.client.errors import ClientError, UnreachableError
from server.client.replies import Reply, ServedModel
from server.client.stream_target import MAX_UNREAD_EVENTS, PATIENT, Format, StreamOptions, Timeouts

if TYPE_CHECKING:
    import httpx


class AsyncClient(ClientBase):
    """A server, for programs with an event loop; ``Client`` has the same calls for those without.

    ::

        async with AsyncClient("http://127.0.0.1:8000") as client:
            reply = await client.predict(Path("photo.jpg"), top_k=1)
            print(reply.best)

    Any number of tasks may use one client. What it is made with: ``ClientBase``.
    """

    _http: "httpx.AsyncClient | None" = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Drop the connections that were kept; streams are not touched."""
        if self._http is not None:
            await self._http.aclose()

    async def predict(
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
        data = await asyncio.to_thread(read_pictures, pictures)
        request = self._posting(
            data, model, version,
            top_k=top_k, threshold=threshold, timeout_ms=timeout_ms, priority=priority, explain=explain,
        )  # fmt: skip
        attempt = 0
        while True:
            try:
                return reply_in(await self._sent(request.request(self._connections())))
            except ClientError as error:
                pause_s = self._retries.pause_s(attempt, error)
                if pause_s is None:
                    raise
            await asyncio.sleep(pause_s)
            attempt += 1

    async def models(self) -> tuple[ServedModel, ...]:
        """The catalogue: every model and version that answers.

        Raises:
            RefusedError, UnreachableError, TimedOutError, UnexpectedReplyError.
        """
        return models_in(await self._get("/v1/models"))

    async def ready(self) -> bool:
        """Whether the server takes pictures now; False also when nobody answers there.

        Raises:
            RefusedError: something else than a Quickeye server answers. TimedOutError.
        """
        try:
            return ready_in(await self._get("/readyz"))
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
    ) -> AsyncStream:
        """A stream of frames, opened by ``async with``; see ``AsyncStream``.

        Args:
            max_inflight: frames without an event; None: 2 under ``latest``, what the server takes under ``all``.
            max_unread: events that may wait to be read.
            format: how the server writes events; ``msgpack`` needs the package ``ormsgpack``.
            options: ``model``, ``version``, ``top_k``, ``threshold``, ``priority``, ``policy``, ``only_changed``,
                ``gate``, ``smoothing``, ``explain``: see docs/streaming.md.
        Raises:
            On opening: RefusedError, UnreachableError, TimedOutError, UnexpectedReplyError.
        """
        return AsyncStream(self._target(max_inflight, max_unread, format, timeouts, options))

    def _connections(self) -> "httpx.AsyncClient":
        import httpx

        if self._http is None:
            self._http = httpx.AsyncClient(**self._http_settings())
        return self._http

    async def _get(self, path: str) -> "httpx.Response":
        return await self._sent(self._connections().build_request("GET", self.address.http(path)))

    async def _sent(self, request: "httpx.Request") -> "httpx.Response":
        import httpx

        try:
            return await self._connections().send(request)
        except httpx.TransportError as error:
            raise failure_of(error, self.address, self._timeout_s) from error
