"""``/healthz``: the process is alive. ``/readyz``: it would answer a picture now."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from server.errors import ModelUnavailableError, NotReadyError
from server.routes import Routes
from server.routes.predict_openapi import ERROR_FORM
from server.service import Service

NOT_NOW: dict[int | str, dict[str, Any]] = {
    503: {
        "description": "Loading, draining, or nothing to serve",
        "content": {"application/json": {"schema": ERROR_FORM}},
    }
}


def routes(service: Service) -> Routes:
    """The health calls."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz", summary="Alive", response_class=PlainTextResponse)
    async def healthz() -> PlainTextResponse:
        """200 as long as the process runs, also while loading and draining."""
        return PlainTextResponse("ok\n")

    @router.get("/readyz", summary="Ready", response_class=PlainTextResponse, responses=NOT_NOW)
    async def readyz() -> PlainTextResponse:
        """200 when the models are loaded, checked and warm, and the server is not draining."""
        if service.failure is not None:
            raise ModelUnavailableError(str(service.failure))
        service.must_take_work()
        if not service.catalogue.served():
            raise NotReadyError("no model is being served")
        return PlainTextResponse("ready\n")

    return Routes(router=router)
