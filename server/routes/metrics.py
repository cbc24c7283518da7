"""``/metrics``: Prometheus text, or OpenMetrics when asked for."""

from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder

from server.routes import Routes
from server.service import Service

TEXT: dict[int | str, dict[str, Any]] = {
    200: {"description": "Prometheus text, or OpenMetrics", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


def routes(service: Service) -> Routes:
    """The scrape call."""
    router = APIRouter(tags=["metrics"])

    @router.get("/metrics", summary="Prometheus metrics", response_class=Response, responses=TEXT)
    async def metrics(request: Request) -> Response:
        """Everything in docs/metrics.md, in the format that the Accept header prefers."""
        await service.gpus.ask()
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(service.metrics.registry), headers={"content-type": content_type})

    return Routes(router=router)
