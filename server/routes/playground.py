"""``/``: the playground, a page of a few small files. No build step, and nothing fetched from anywhere else."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from server.routes import Routes
from server.service import Service

PAGES = Path(__file__).parent.parent / "pages"
PAGE = PAGES / "playground.html"
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",  # kept, and asked about each time: files of two releases never meet
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file of the page, read once."""

    body: bytes
    content_type: str
    etag: str


def page_files() -> dict[str, PageFile]:
    """The page and all that it loads, by file name."""
    return {path.name: _read(path) for path in sorted(PAGES.iterdir()) if path.suffix in CONTENT_TYPES}


def routes(service: Service) -> Routes:
    """The page at ``/``, what it loads under ``/playground/``."""
    router = APIRouter(include_in_schema=False)
    files = page_files()
    if service.config.debug:
        files[PAGE.name] = _with_batches(files[PAGE.name], needs_key=bool(service.config.admin_key))

    @router.get("/")
    async def playground(request: Request) -> Response:
        return _reply(files[PAGE.name], request)

    @router.get("/playground/{name}")
    async def playground_file(name: str, request: Request) -> Response:
        if name not in files:
            raise HTTPException(404)
        return _reply(files[name], request)

    return Routes(router=router)


def _with_batches(page: PageFile, *, needs_key: bool) -> PageFile:
    """The page that also draws the last batches; it asks for the admin key where there is one."""
    mark = b'<html data-debug="key" ' if needs_key else b'<html data-debug="open" '
    return _file(page.body.replace(b"<html ", mark, 1), ".html")


def _read(path: Path) -> PageFile:
    return _file(path.read_bytes(), path.suffix)


def _file(body: bytes, suffix: str) -> PageFile:
    return PageFile(body, CONTENT_TYPES[suffix], f'"{hashlib.sha256(body).hexdigest()[:20]}"')


def _reply(file: PageFile, request: Request) -> Response:
    headers = {**HEADERS, "ETag": file.etag}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if file.etag in known:
        return Response(status_code=304, headers=headers)
    return Response(file.body, headers=headers, media_type=file.content_type)
