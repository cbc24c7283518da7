"""The ASGI application: hot calls first, the framework for everything else.

A hot call is matched by its pattern and answered by a plain ASGI endpoint; it
never meets FastAPI. Whatever ends badly, on either side, is rendered in one form
(``errors.py``), with a request id, and leaves one line in the access log.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.routing import Match

from model_zoo.errors import ModelZooError
from server.access_log import AccessLog
from server.backends.errors import BackendError
from server.config import Config
from server.errors import DrainingError, InternalError, Refusal, ServingError, refusal_of
from server.exchange import Exchange, Message, Receive, RequestIds, Scope, Send, error_body, open_exchange
from server.routes import HotRoute, SocketRoute, all_routes
from server.service import Service
from server.streams.handshake import open_handshake
from server.tracing.opening import OpenTracing, open_tracing

log = logging.getLogger("quickeye.app")

DESCRIPTION = 'Post an image, get its classes. Errors all have the form `{"error": {code, message, request_id}}`.'
QUIET_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})


def create_app(config: Config, opening: OpenTracing = open_tracing) -> "App":
    """The server as an ASGI application. Its lifespan loads, checks and warms the models."""
    return App(Service(config, opening))


class App:
    """Dispatches hot calls; hands the rest to FastAPI."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._ids = RequestIds()
        self._tracing = service.tracing
        self._access_log = AccessLog(service.config.log_format) if service.config.access_log else None
        self._hot: list[HotRoute] = []
        self._sockets: dict[str, SocketRoute] = {}
        self._framework = _framework(service, self._access_log)
        hot_paths: dict[str, Any] = {}
        for routes in all_routes(service):
            self._hot.extend(routes.hot)
            self._sockets.update({route.path: route for route in routes.sockets})
            hot_paths.update(routes.openapi)
            if routes.router is not None:
                self._framework.include_router(routes.router)
                self._framework.state.declared.extend(routes.router.routes)
        _describe_hot_calls(self._framework, hot_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        if scope["type"] == "lifespan":
            await self._framework(scope, receive, send)
            return
        is_socket = scope["type"] == "websocket"
        exchange = (open_handshake if is_socket else open_exchange)(scope, receive, send, self._ids)
        if self._tracing is not None and exchange.path not in QUIET_PATHS:
            exchange.trace = self._tracing.request(exchange)
            exchange.record["trace_id"] = exchange.trace.trace_id
        try:
            if is_socket:
                await self._answer_socket(exchange, scope, receive, send)
            elif not await self._answer_hot(exchange):
                await self._answer_by_framework(exchange, scope, receive, send)
        except asyncio.CancelledError:  # only the end of the server does this, to what is still arriving then
            if not self.service.draining:
                raise
            self.service.gave_up = True
            if not exchange.status:
                await exchange.refuse(refusal_of(DrainingError("the server stopped before the request was complete")))
        except Exception:  # the border: logged with its request id, and nothing of it leaks
            log.exception("request %s failed", exchange.request_id)
            if not exchange.status:
                await exchange.refuse(refusal_of(InternalError("")))
        finally:
            if exchange.trace is not None:
                exchange.trace.end(exchange.status, exchange.record)
            if self._access_log is not None and exchange.path not in QUIET_PATHS:
                self._access_log.add(exchange.line())

    async def _answer_socket(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._sockets.get(exchange.path)
        if route is None:
            await receive()  # websocket.connect
            known = ", ".join(self._sockets)
            await exchange.refuse(Refusal("not_found", f"no WebSocket is at {exchange.path[:200]}; there is {known}"))
            return
        if exchange.trace is not None:
            exchange.trace.route = route.path
        try:
            await route.endpoint(exchange, scope, receive, send)
        except OSError:  # the client left during the handshake
            exchange.status = exchange.status or 499

    async def _answer_hot(self, exchange: Exchange) -> bool:
        for route in self._hot:
            match = route.pattern.fullmatch(exchange.path)
            if match is not None:
                if exchange.trace is not None and exchange.exemplar is not None:
                    exchange.trace.route = _route_of(match)
                if exchange.method == route.method:
                    await route.endpoint(exchange, match.groupdict())
                else:
                    refusal = Refusal("method_not_allowed", f"{exchange.path} takes {route.method}")
                    await exchange.refuse(refusal, (b"allow", route.method.encode()))
                return True
        return False

    async def _answer_by_framework(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = [*message["headers"], *exchange.own_headers]
            await send(message)

        scope.setdefault("state", {})["request_id"] = exchange.request_id
        if (
            scope["method"] == "HEAD"
        ):  # what GET would say, without its body: that is left out below, by the original scope
            scope = {**scope, "method": "GET"}
        await self._framework(scope, receive, send_with_id)
        if exchange.trace is not None:
            exchange.trace.route = getattr(scope.get("route"), "path", "")


def _route_of(match: re.Match[str]) -> str:
    """The path of a hot call, with names in the place of what varies: ``/v1/models/{model}/predict``."""
    route, end = "", 0
    for name in match.re.groupindex:
        if match[name] is not None:
            route += f"{match.string[end : match.start(name)]}{{{name}}}"
            end = match.end(name)
    return route + match.string[end:]


def _framework(service: Service, access_log: AccessLog | None) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.close()
        if access_log is not None:
            access_log.flush()

    app = FastAPIOffline(
        title="Quickeye",
        description=DESCRIPTION,
        version="1",
        lifespan=lifespan,
        openapi_url="/openapi.json",
        redoc_url=None,
    )
    app.state.declared = []  # every route of ours; the framework's own list holds routers, which tell no methods
    for kind in (ServingError, ModelZooError, BackendError):
        app.add_exception_handler(kind, _render)
    app.add_exception_handler(Exception, _render_fault)
    app.add_exception_handler(HTTPException, _render_http)
    app.add_exception_handler(RequestValidationError, _render_validation)
    return app


def _response(request: Request, refusal: Refusal) -> Response:
    headers = {} if refusal.retry_after is None else {"Retry-After": refusal.retry_after}
    body = error_body(refusal, request.state.request_id)
    return Response(body, refusal.status, headers, "application/json")


async def _render(request: Request, error: Exception) -> Response:
    refusal = refusal_of(error)
    if refusal.code == "internal":
        log.error("request %s failed", request.state.request_id, exc_info=error)
    return _response(request, refusal)


async def _render_fault(request: Request, error: Exception) -> Response:
    """What nobody expected. The border above logs it: the framework raises it again after this."""
    return _response(request, refusal_of(InternalError(str(error))))


async def _render_http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 405:
        refused = Refusal("method_not_allowed", f"{request.url.path[:200]} does not take {request.method}")
        response = _response(request, refused)
        response.headers["Allow"] = ", ".join(_methods_of(request))
        return response
    if status == 404:
        return _response(request, Refusal("not_found", f"nothing is at {request.url.path[:200]}; see /docs"))
    return _response(request, Refusal("invalid_request", "the request cannot be understood"))


def _methods_of(request: Request) -> list[str]:
    """What a path takes; the framework names the methods of the first route alone."""
    found: set[str] = set()
    for route in [*request.app.routes, *request.app.state.declared]:
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            found.update(getattr(route, "methods", None) or ())
    return sorted(found)


async def _render_validation(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    return _response(request, Refusal("invalid_request", f"{where}: {first['msg']}"))


def _describe_hot_calls(app: FastAPI, paths: dict[str, Any]) -> None:
    """Put the hot calls' OpenAPI beside the framework's own, which promises errors in a form that is not ours."""
    original = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = original()
            for call in [call for methods in schema["paths"].values() for call in methods.values()]:
                call["responses"].pop("422", None)
            for name in ("HTTPValidationError", "ValidationError"):
                schema.get("components", {}).get("schemas", {}).pop(name, None)
            schema["paths"] = {**paths, **schema["paths"]}
        return original()

    app.openapi = openapi  # type: ignore[method-assign]
