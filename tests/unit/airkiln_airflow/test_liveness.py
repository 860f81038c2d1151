"""The web server's liveness depends on nothing: no database, no session, no application."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airkiln_airflow.liveness import PATH, Liveness


class Application:
    """An application that hangs in its database, and what was sent."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.sent: list[dict[str, Any]] = []

    async def __call__(self, scope: dict[str, Any], _receive: object, _send: object) -> None:
        self.asked.append(scope["type"])

    async def send(self, message: Any) -> None:  # noqa: ANN401
        self.sent.append(message)

    def serves(self, scope: dict[str, Any]) -> None:
        asyncio.run(Liveness(self)(scope, None, self.send))


@pytest.mark.parametrize("prefix", ["", "/airflow"])
@pytest.mark.parametrize(("method", "body"), [("GET", b"alive\n"), ("HEAD", b"")])
def test_it_is_answered_without_the_application(prefix: str, method: str, body: bytes) -> None:
    application = Application()
    application.serves({"type": "http", "method": method, "path": prefix + PATH})
    assert [message.get("status", message.get("body")) for message in application.sent] == [200, body]
    assert application.asked == []


@pytest.mark.parametrize(
    "scope",
    [
        {"type": "http", "method": "GET", "path": "/api/v2/monitor/health"},
        {"type": "http", "method": "POST", "path": PATH},
        {"type": "websocket", "path": PATH},
        {"type": "lifespan"},
    ],
    ids=lambda scope: f"{scope['type']} {scope.get('method', '')}",
)
def test_everything_else_is_the_applications(scope: dict[str, Any]) -> None:
    application = Application()
    application.serves(scope)
    assert (application.asked, application.sent) == ([scope["type"]], [])
