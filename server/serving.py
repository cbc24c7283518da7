"""Running the server, and ending it without losing anything.

The end is ours, not uvicorn's, which would close the listener first and raise the
signal again. On the first SIGTERM or SIGINT:

1. ``/readyz`` and new work say 503 ``draining``, while the listener stays open for
   ``drain_grace_s``: load balancers need that long to look elsewhere. SIGINT leaves this out:
   it comes from a person at a terminal, and no balancer stands before that.
2. Streams, which went on until now, get their last answers, ``stats`` and close 1001.
3. The listener closes; what was admitted is finished. Both take ``drain_timeout_s`` at most.
4. The process ends with 0, or with 1 if work had to be given up.

A second signal ends it at once.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

import uvicorn
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from server.app import App, create_app
from server.config import Config
from server.exchange import Receive, Scope, Send
from server.http_protocol import HttpProtocol
from server.streams.frame import HEADER
from server.ws_protocol import WebSocketProtocol

log = logging.getLogger("quickeye.serving")

KEEP_ALIVE_S = 75
PING_S = 20.0
BACKLOG = 2048
FLUSH_S = 5.0  # for responses already made to leave, once every picture has its answer


class CannotListenError(Exception):
    """The address cannot be bound; the message says why and what to do."""


class _OwnedServer(uvicorn.Server):
    """uvicorn without its signal handlers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """Bind before anything is loaded, so that a taken port is said at once.

    Raises:
        CannotListenError: the address is taken, unknown or not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except (OSError, UnicodeError) as error:  # UnicodeError: a host that can be no name at all
        sock.close()
        why = getattr(error, "strerror", None) or error
        raise CannotListenError(
            f"cannot listen on {host}:{port}: {why}; choose another with --host or --port"
        ) from None
    sock.setblocking(False)
    return sock


def run(config: Config, sock: socket.socket, on_ready: Callable[[App], None]) -> int:
    """Serve until a signal; returns the exit code. ``on_ready`` is called once the models answer."""
    app = create_app(config)
    server = _OwnedServer(uvicorn_config(app, config))
    running = _Running(config, app, server, on_ready)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(running.serve(sock))


class _Forwarded:
    """Who really called, where a proxy on this machine says so (or one that FORWARDED_ALLOW_IPS names).

    uvicorn would look for that in every request, for a fiftieth of what a small one costs.
    """

    def __init__(self, app: App) -> None:
        self._direct = app
        trusted = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")
        self._through_proxy = ProxyHeadersMiddleware(app, trusted_hosts=trusted)  # type: ignore[arg-type]

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        names = [name for name, _ in scope.get("headers", ())]
        if b"x-forwarded-for" in names or b"x-forwarded-proto" in names:
            return self._through_proxy(scope, receive, send)  # type: ignore[arg-type]
        return self._direct(scope, receive, send)


def uvicorn_config(app: App, config: Config, *, ping_s: float = PING_S) -> uvicorn.Config:
    """How uvicorn serves the application. Who answers no ping for ``ping_s`` and sends nothing else is gone."""
    return uvicorn.Config(
        _Forwarded(app),
        interface="asgi3",
        proxy_headers=False,
        http=HttpProtocol,
        ws=_socket_protocol(config),
        ws_max_size=config.max_frame_bytes + HEADER.size,
        ws_ping_interval=ping_s,
        ws_ping_timeout=ping_s,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(FLUSH_S),
    )


def _socket_protocol(config: Config) -> type[WebSocketProtocol]:
    """The WebSocket protocol under this configuration; uvicorn makes one per connection and passes its own things."""

    class Configured(WebSocketProtocol):
        send_timeout_s = config.stream_send_timeout_s

    return Configured


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


class _Running:
    """One server from start to end, on its event loop."""

    def __init__(self, config: Config, app: App, server: uvicorn.Server, on_ready: Callable[[App], None]) -> None:
        self._config = config
        self._app = app
        self._server = server
        self._on_ready = on_ready
        self._stopping: asyncio.Task[None] | None = None
        self._exit_code = 0

    async def serve(self, sock: socket.socket) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        announce = loop.create_task(self._announce())
        await self._server.serve(sockets=[sock])
        announce.cancel()
        return 1 if self._app.service.gave_up else self._exit_code

    async def _announce(self) -> None:
        service = self._app.service
        await service.ready.wait()
        # What was loaded so far stays: the collector need not walk through it again and again while requests wait.
        gc.freeze()
        if service.failure is None:
            if not service.draining:
                self._on_ready(self._app)
            return
        log.error("cannot start: %s", service.failure)
        self._exit_code = 1
        self._server.should_exit = True

    def _on_signal(self, number: signal.Signals) -> None:
        if self._stopping is None:
            grace_s = 0.0 if number == signal.SIGINT else self._config.drain_grace_s
            self._stopping = asyncio.get_running_loop().create_task(self._stop(grace_s))
        else:
            log.warning("second signal: ending at once")
            logging.shutdown()
            os._exit(1)

    async def _stop(self, grace_s: float) -> None:
        service = self._app.service
        log.info("draining: new work is refused, the listener stays open for %g s", grace_s)
        service.draining = True
        await asyncio.sleep(grace_s)
        ends_s = time.monotonic() + self._config.drain_timeout_s
        left = await service.streams.drain(self._config.drain_timeout_s)  # posts are answered meanwhile
        for listener in getattr(self._server, "servers", []):  # none yet when the signal came while starting
            listener.close()
        left += await service.drain(max(0.0, ends_s - time.monotonic()))
        if left:
            log.error("%d pictures were not answered within %g s", left, self._config.drain_timeout_s)
            self._exit_code = 1
            service.catalogue.give_up()
        log.info("drained")
        self._server.should_exit = True
