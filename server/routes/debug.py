"""``/debug``: where the process spends its time, what became of the last batches; for the administrator, when on."""

import asyncio
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from server.batch_history import KEPT, BatchHistories
from server.errors import AbandonedError, DrainingError, ForbiddenError
from server.profiling.flame_graph import POLICY, page
from server.profiling.formats import View, as_json, folded, speedscope
from server.profiling.profile import Profile
from server.query_string import read_query
from server.routes import Routes
from server.routes.batch_list import BatchList
from server.routes.predict_openapi import ERROR_FORM
from server.service import Service

MAX_SECONDS = 60.0
OFF = "profiles and batches are closed: start the server with --debug"

Format = Literal["html", "folded", "speedscope", "json"]
CONTENT_TYPES: dict[Format, str] = {
    "html": "text/html; charset=utf-8",
    "folded": "text/plain; charset=utf-8",
    "speedscope": "application/json",
    "json": "application/json",
}
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


def _errors(**descriptions: str) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"schema": ERROR_FORM}}
    return {int(status[1:]): {"description": text, "content": content} for status, text in descriptions.items()}


CLOSED = _errors(_400="invalid_request", _401="unauthorized", _403="forbidden: off, or a wrong key")
REFUSED = {**CLOSED, **_errors(_429="overloaded: a profile is being taken", _503="draining")}
PROFILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A flame graph to open in a browser; or the stacks, for tools",
        "content": {kind.partition(";")[0]: {} for kind in CONTENT_TYPES.values()},
    }
}

Seconds = Annotated[float, Query(ge=0.1, le=MAX_SECONDS, description="how long to watch")]
Shown = Annotated[View, Query(description="what the page shows first, and what folded stacks count")]
Model = Annotated[str | None, Query(description="of this model alone")]
Limit = Annotated[int, Query(ge=1, le=KEPT, description="how many, the newest first")]


def routes(service: Service) -> Routes:
    """The calls under ``/debug``; closed unless the server was started with ``debug``."""
    router = APIRouter(prefix="/debug", tags=["debug"])

    async def may_debug(request: Request) -> None:
        if not service.config.debug:
            raise ForbiddenError(OFF)
        service.keys.may_administer(dict(request.headers.raw))

    def takes(*known: str) -> Any:  # noqa: ANN401 (what Depends returns)
        async def refuse_odd_queries(request: Request) -> None:
            read_query(request.scope["query_string"], known)

        return Depends(refuse_odd_queries)

    guard = Depends(may_debug)

    @router.get(
        "/profile",
        summary="Where the process spends its time",
        response_class=Response,
        responses={**PROFILE, **REFUSED},
        dependencies=[guard, takes("seconds", "format", "view")],
    )
    async def profile(
        request: Request, seconds: Seconds = 5.0, format: Format = "html", view: Shown = "cpu"
    ) -> Response:
        """Watch every thread for some seconds: a flame graph of CPU time and of wall time. One at a time."""
        if service.draining:
            raise DrainingError("the server is stopping and takes no new work")
        body = await _unless_left(request, service.profiler.take(seconds, lambda taken: _rendered(taken, format, view)))
        return Response(body, headers=HEADERS, media_type=CONTENT_TYPES[format])

    @router.get(
        "/batches",
        summary="The last batches, with their times",
        responses={**CLOSED, **_errors(_404="unknown_model")},
        dependencies=[guard, takes("model", "limit")],
    )
    async def batches(model: Model = None, limit: Limit = KEPT) -> BatchList:
        """Batches that were run: when, on which instance, why they were closed, and where each picture's time went."""
        told = await asyncio.to_thread(_batches, service.catalogue.batches or BatchHistories(), model, limit)
        return Response(told, headers={"Cache-Control": "no-store"}, media_type="application/json")  # type: ignore[return-value]  # made aside of the loop, in this form

    return Routes(router=router)


def _batches(histories: BatchHistories, model: str | None, limit: int) -> bytes:
    return orjson.dumps(histories.told(model, limit))


def _rendered(profile: Profile, format: Format, view: View) -> bytes:
    if format == "html":
        return page(profile, view)
    if format == "folded":
        return folded(profile, view)
    return speedscope(profile) if format == "speedscope" else as_json(profile)


async def _unless_left(request: Request, taking: Any) -> bytes:  # noqa: ANN401 (a coroutine)
    """What comes of it, unless the caller leaves before; then it is cancelled.

    Raises:
        AbandonedError: the caller left.
    """
    left, taken = asyncio.ensure_future(_left(request)), asyncio.ensure_future(taking)
    try:
        await asyncio.wait({left, taken}, return_when=asyncio.FIRST_COMPLETED)
        if taken.done():
            body: bytes = taken.result()
            return body
        raise AbandonedError("the caller left before the profile was taken")
    finally:
        for task in (left, taken):
            task.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
