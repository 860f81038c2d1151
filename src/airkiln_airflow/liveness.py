"""The web server's liveness: an answer that depends on nothing but the process.

Airflow's own health pages wait for the database, and its other routes for a thread or a session. A load
balancer that asks them calls every web server unhealthy when the database is slow, and their Auto Scaling
group replaces them all. This page is answered in the event loop, before the application sees the request:
it fails only where the process hangs or is gone. Whether Airflow works is asked at /api/v2/monitor/health.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

PATH = "/airkiln/live"
"""Below any prefix under which Airflow is served."""

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Liveness:
    """ASGI middleware that answers `PATH` and passes every other request on."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: object, send: Send) -> None:
        """Answer GET and HEAD of the page."""
        asked = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        if not asked or not str(scope["path"]).endswith(PATH):
            await self._app(scope, receive, send)
            return
        body = b"alive\n" if scope["method"] == "GET" else b""
        headers = [
            (b"content-type", b"text/plain"),
            (b"cache-control", b"no-store"),
            (b"content-length", b"6"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
