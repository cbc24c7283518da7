"""``/``: a page to drop a photo on. One file, nothing fetched from anywhere else."""

from pathlib import Path

from fastapi import APIRouter, Response

from server.routes import Routes
from server.service import Service

PAGE = Path(__file__).parent.parent / "pages" / "playground.html"
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def routes(service: Service) -> Routes:
    """The page."""
    router = APIRouter(include_in_schema=False)
    page = PAGE.read_bytes()

    @router.get("/")
    async def playground() -> Response:
        headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}
        return Response(page, headers=headers, media_type="text/html; charset=utf-8")

    return Routes(router=router)
