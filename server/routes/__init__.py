"""What the server answers, a file for each family of calls.

A module here offers ``routes(service) -> Routes``. Hot calls are plain ASGI
endpoints found by a pattern ahead of the framework, with their OpenAPI text
written beside them; everything else is a FastAPI router.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter

from server.exchange import Exchange, Receive, Scope, Send

if TYPE_CHECKING:
    from server.service import Service

# name -> "module:function"
ROUTES: dict[str, str] = {
    "predict": "server.routes.predict:routes",
    "stream": "server.routes.stream:routes",
    "models": "server.routes.models:routes",
    "health": "server.routes.health:routes",
    "metrics": "server.routes.metrics:routes",
    "debug": "server.routes.debug:routes",
    "playground": "server.routes.playground:routes",
}


@dataclass(frozen=True, slots=True)
class HotRoute:
    """A call that skips the framework. ``endpoint`` gets the pattern's named groups."""

    method: str
    pattern: re.Pattern[str]
    endpoint: Callable[[Exchange, dict[str, str]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class SocketRoute:
    """A WebSocket, by its path. ``endpoint`` gets the handshake as an exchange, then ASGI's own three."""

    path: str
    endpoint: Callable[[Exchange, Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Routes:
    """What one module adds: hot calls, WebSockets, a router, and OpenAPI for the hot ones."""

    hot: tuple[HotRoute, ...] = ()
    sockets: tuple[SocketRoute, ...] = ()
    router: APIRouter | None = None
    openapi: dict[str, Any] = field(default_factory=dict)


def all_routes(service: "Service") -> list[Routes]:
    """Everything in the table."""
    found = []
    for place in ROUTES.values():
        module, _, function = place.partition(":")
        found.append(getattr(import_module(module), function)(service))
    return found
