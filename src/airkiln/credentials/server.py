"""Hands out the credentials of the task role over HTTP to whoever has the token of this host."""

from __future__ import annotations

import hmac
import json
import socket
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from airkiln.credentials import ADDRESS, PATH

PATIENCE = 2.0
"""Seconds for a request to arrive. Requests are served one by one."""


class Server(HTTPServer):
    """A server on a loopback address.

    :param token: the file whose content a request must carry as its Authorization.
    :param document: the credentials, or None while there are none.
    :raises OSError: the address is in use.
    """

    def __init__(
        self,
        token: Path,
        document: Callable[[], str | None],
        address: tuple[str, int] = ADDRESS,
    ) -> None:
        super().__init__(address, _Handler)
        self.token = token
        self.document = document

    def server_bind(self) -> None:
        """Without looking up the host's name, which could take long."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def admits(self, authorization: str) -> bool:
        """Whether a request carries the token."""
        try:
            token = self.token.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return False
        return bool(token) and hmac.compare_digest(authorization.encode(), token.encode())


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = PATIENCE
    protocol_version = "HTTP/1.0"
    server_version = "airkiln"
    sys_version = ""

    def do_GET(self) -> None:
        if not self.server.admits(self.headers.get("Authorization", "")):
            self._answer(HTTPStatus.UNAUTHORIZED, _error("AccessDenied", "the token is missing or wrong"))
        elif self.path != PATH:
            self._answer(HTTPStatus.NOT_FOUND, _error("NotFound", f"credentials are at {PATH}"))
        elif (document := self.server.document()) is None:
            self._answer(
                HTTPStatus.SERVICE_UNAVAILABLE,
                _error("NotReady", "the task role is not assumed: see journalctl -u airkiln-credentials"),
            )
        else:
            self._answer(HTTPStatus.OK, document)

    def _answer(self, status: HTTPStatus, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing: every task sends requests."""


def _error(code: str, message: str) -> str:
    return json.dumps({"code": code, "message": message})
