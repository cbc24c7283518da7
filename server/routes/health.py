"""``/healthz``: the process is alive. ``/readyz``: it would answer a picture now."""

from fastapi import APIRouter, Response

from server.errors import ModelUnavailableError, NotReadyError
from server.routes import Routes
from server.service import Service


def routes(service: Service) -> Routes:
    """The health calls."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz", summary="Alive")
    async def healthz() -> Response:
        """200 as long as the process runs, also while loading and draining."""
        return Response("ok\n", media_type="text/plain")

    @router.get("/readyz", summary="Ready", responses={503: {"description": "Loading, draining, or nothing to serve"}})
    async def readyz() -> Response:
        """200 when the models are loaded, checked and warm, and the server is not draining."""
        if service.failure is not None:
            raise ModelUnavailableError(str(service.failure))
        service.must_take_work()
        if not service.catalogue.served():
            raise NotReadyError("no model is being served")
        return Response("ready\n", media_type="text/plain")

    return Routes(router=router)
