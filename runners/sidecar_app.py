"""The sidecar's paths. All answers come from memory, and only GET and HEAD are known."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runners.sidecar_view import View

_PAGE = Path(__file__).with_name("page")
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

Endpoint = Callable[[Request], Awaitable[Response]]


def make_app(view: View) -> Starlette:
    """Return the application."""
    files = {path.name: path for path in sorted(_PAGE.iterdir())}
    app = Starlette(
        routes=[
            Route("/", _file(files["index.html"])),
            *(Route(f"/page/{name}", _file(path)) for name, path in files.items()),
            Route("/metrics", _metrics(view)),
            Route("/info", _json(lambda: (True, view.info()))),
            Route("/status", _json(lambda: (True, view.status()))),
            Route("/health", _json(lambda: (True, {"live": True}))),
            Route("/live", _json(lambda: (True, {"live": True}))),
            Route("/ready", _json(view.ready)),
        ]
    )
    app.router.redirect_slashes = False  # a redirect would follow the Host header
    return app


def _json(answer: Callable[[], tuple[bool, dict[str, Any]]]) -> Endpoint:
    """Answer 200 or 503."""

    async def endpoint(_: Request) -> Response:
        is_ok, document = answer()
        content = msgspec.json.format(msgspec.json.encode(document)) + b"\n"
        return Response(content, 200 if is_ok else 503, media_type="application/json")

    return endpoint


def _metrics(view: View) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            encode, content_type = choose_encoder(request.headers.get("accept", ""))
        except (TypeError, ValueError):  # a version that is no number
            encode, content_type = choose_encoder("")
        return Response(encode(view), headers={"content-type": content_type})

    return endpoint


def _file(path: Path) -> Endpoint:
    content = path.read_bytes()

    async def endpoint(_: Request) -> Response:
        return Response(content, headers={"content-type": _TYPES[path.suffix]})

    return endpoint
