"""What stands before Airflow's web application: everything that a request passes first, and an answer last.

It knows who the client is (`proxies`), keeps the task execution API and the API's documentation away from
clients that must not reach them, limits failed logins (`attempts`), and adds what browsers need for
their protection.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from airkiln_airflow.attempts import Attempts
from airkiln_airflow.proxies import Proxies, Scope

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Any, Send], Awaitable[None]]

EXECUTION = "/execution"
DOCUMENTATION = frozenset(
    f"{application}{page}"
    for application in ("", "/auth", EXECUTION)
    for page in ("/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json")
)
"""FastAPI serves these for each application. Airflow's own setting hides two pages of the first one only."""
LOGINS = frozenset({"/auth/token", "/auth/token/cli", "/auth/api/v1/security/login"})
"""What takes a password in a POST and has no limit of its own, unlike /auth/login."""

PROTECTION = (
    (b"x-content-type-options", b"nosniff"),
    # Airflow's UI shows pages of its own, such as the list of users, in frames.
    (b"x-frame-options", b"SAMEORIGIN"),
)
TRANSPORT = (b"strict-transport-security", b"max-age=31536000")
"""A year. Sent over TLS alone: a forwarded port of localhost speaks HTTP and must go on to work."""


@dataclass(frozen=True)
class Settings:
    """How the door behaves.

    `public_port` is the port of the public load balancer, 0 for none. `prefix` is the path of [api]
    base_url, such as `/airflow`, or empty. `documented` tells whether [api] enable_swagger_ui is on.
    """

    proxies: Proxies = field(default_factory=Proxies)
    public_port: int = 0
    prefix: str = ""
    documented: bool = False


class Door:
    """ASGI application around another one."""

    def __init__(self, app: Application, settings: Settings, attempts: Attempts | None = None) -> None:
        self._app = app
        self._settings = settings
        self._attempts = Attempts() if attempts is None else attempts

    async def __call__(self, scope: Scope, receive: object, send: Send) -> None:
        """Serve a request. Anything else, such as the lifespan protocol, goes to the application."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        self._settings.proxies.settle(scope)
        protected = _protecting(send, secure=scope["scheme"] in ("https", "wss"))
        if self._absent(scope):
            await _refuse(scope, protected, 404, "Not Found")
        elif scope["type"] == "http" and scope["method"] == "POST" and self._routes(scope) & LOGINS:
            await self._limited(scope, receive, protected)
        else:
            await self._app(scope, receive, protected)

    def _routes(self, scope: Scope) -> set[str]:
        """The path, and the path below the prefix: Airflow answers to both."""
        path, prefix = str(scope["path"]), self._settings.prefix
        below = path.removeprefix(prefix) if path.startswith(f"{prefix}/") else path
        return {path, below, path.rstrip("/"), below.rstrip("/")}

    def _absent(self, scope: Scope) -> bool:
        routes = self._routes(scope)
        if not self._settings.documented and routes & DOCUMENTATION:
            return True
        public = self._settings.public_port and scope["server"][1] == self._settings.public_port
        return bool(public) and any(f"{route}/".startswith(f"{EXECUTION}/") for route in routes)

    async def _limited(self, scope: Scope, receive: object, send: Send) -> None:
        client = str(scope["client"][0])
        wait = self._attempts.begin(client)
        if wait:
            retry = (b"retry-after", str(math.ceil(wait)).encode())
            await _refuse(scope, send, 429, "Too many failed logins: try again later", retry)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start" and not 400 <= message["status"] < 500:
                self._attempts.succeeded(client)
            await send(message)

        await self._app(scope, receive, sent)


def _protecting(send: Send, *, secure: bool) -> Send:
    """Add the headers that protect a browser, and over TLS keep every cookie on TLS."""
    added = (*PROTECTION, TRANSPORT) if secure else PROTECTION
    names = {name for name, _ in added}

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(name.lower(), value) for name, value in message.get("headers", ())]
            kept = [
                (name, _cookie(value) if secure and name == b"set-cookie" else value) for name, value in kept
            ]
            message["headers"] = [*(each for each in kept if each[0] not in names), *added]
        await send(message)

    return sent


def _cookie(value: bytes) -> bytes:
    attributes = {part.strip().lower() for part in value.split(b";")[1:]}
    return value if b"secure" in attributes else value + b"; Secure"


async def _refuse(scope: Scope, send: Send, status: int, detail: str, *more: tuple[bytes, bytes]) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
