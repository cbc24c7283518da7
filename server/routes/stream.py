"""``WS /v1/stream``: frames in, an event for each out. See docs/streaming.md.

A plain ``GET`` of the same address tells why a handshake would be refused, in words:
browsers do not show a page the response to a WebSocket's handshake.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import replace

import orjson
from fastapi import APIRouter, Request, Response

from model_zoo.errors import ModelZooError
from server.class_activation import refuse_unexplained
from server.errors import Refusal, ServingError, refusal_of
from server.exchange import Exchange, Receive, Scope, Send
from server.metrics import UNKNOWN_MODEL
from server.routes import HotRoute, Routes, SocketRoute
from server.routes.stream_asyncapi import document
from server.served_model import ServedModel
from server.service import Service
from server.streams.connection import connection_of
from server.streams.handshake import chosen, must_be_ours, with_key
from server.streams.options import StreamOptions, parse_query
from server.streams.session import Session, Wire

PATH = "/v1/stream"
PATTERN = re.compile(re.escape(PATH))


def routes(service: Service) -> Routes:
    """The endpoint, its answer to requests that are no handshake, and its AsyncAPI document."""
    stream = Stream(service)
    router = APIRouter(include_in_schema=False)

    @router.get("/asyncapi.json")
    async def asyncapi(request: Request) -> Response:
        return Response(orjson.dumps(document(request.headers.get("host", ""))), media_type="application/json")

    return Routes(hot=(HotRoute("GET", PATTERN, stream.tell),), sockets=(SocketRoute(PATH, stream),), router=router)


class Stream:
    """The endpoint. One per server."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._config = service.config

    async def __call__(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket, from its handshake to its end."""
        name = UNKNOWN_MODEL
        subprotocols = scope.get("subprotocols", [])
        await receive()  # websocket.connect
        try:
            options, model = self._admitted(exchange, subprotocols)
            name = model.spec.name
            with self._service.streams.place():
                subprotocol, form = chosen(subprotocols)
                exchange.status = 101
                await send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": exchange.own_headers})
                self._count(exchange, name)
                await self._serve(exchange, Wire(receive, send, form, connection_of(scope)), options, model)
        except (ServingError, ModelZooError) as error:
            refusal = refusal_of(error)
            self._service.metrics.rejected.labels(name, refusal.code).inc()
            await exchange.refuse(refusal)
            self._count(exchange, name)

    async def tell(self, exchange: Exchange, path: dict[str, str]) -> None:
        """A request that is no handshake: what would be said to one."""
        try:
            self._admitted(exchange, ())
            with self._service.streams.place():
                refusal = Refusal("upgrade_required", f"{PATH} takes WebSockets; see docs/streaming.md")
                await exchange.refuse(refusal, (b"upgrade", b"websocket"), (b"connection", b"upgrade"))
        except (ServingError, ModelZooError) as error:
            await exchange.refuse(refusal_of(error))

    def _admitted(self, exchange: Exchange, subprotocols: Sequence[str]) -> tuple[StreamOptions, ServedModel]:
        """What was asked for, and who will answer.

        Raises:
            ServingError, ModelZooError: the handshake is refused.
        """
        self._service.must_take_work()
        must_be_ours(exchange.headers, self._config.allowed_origins)
        self._service.keys.may_predict(with_key(exchange.headers, subprotocols))
        options = parse_query(exchange.query)
        model = self._find(options)
        refuse_unexplained(options.explain is not None, model.spec)
        return replace(options, model=model.spec.name), model

    def _find(self, options: StreamOptions) -> ServedModel:
        return self._service.catalogue.find(options.model, options.version)

    async def _serve(self, exchange: Exchange, wire: Wire, options: StreamOptions, model: ServedModel) -> None:
        service = self._service
        frames = None if exchange.trace is None else exchange.trace.frames()
        session = Session(
            exchange.request_id, wire, options, self._config, service.metrics, model, self._find, frames=frames
        )
        try:
            with service.streams.entered(session):
                close = await session.serve()
                exchange.record["close"] = close.code
        finally:
            stats = session.tally.as_stats()
            del stats["type"]
            exchange.record.update(model=session.model, **stats)

    def _count(self, exchange: Exchange, name: str) -> None:
        """Handshakes are the requests of this protocol; how long a stream lasts is no latency."""
        metrics = self._service.metrics
        metrics.requests_of(name, "ws", str(exchange.status or 500)).inc()
        metrics.duration_of(name, "ws").observe(time.monotonic() - exchange.started_s, exchange.exemplar)
