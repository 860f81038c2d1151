"""Parameter Store's GetParametersByPath on 127.0.0.1, with faults on request. The client against it is the
real one.

Answers as AWS documents and does: at most 10 a page, possibly none, and the rest by NextToken.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PAGE_SIZE = 10
_TARGET = "AmazonSSM.GetParametersByPath"


class Exchange(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet: otherwise each answer waits 40 ms for an acknowledgement
    server: _Server

    def do_POST(self) -> None:
        """Answer one call, or commit the fault that is next."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fake = self.server.fake
        fault = fake.next_fault(request)
        if fake.round_trip:
            time.sleep(fake.round_trip)
        if self.headers["X-Amz-Target"] != _TARGET:
            self.reply(400, {"__type": "UnknownOperationException"})
        elif fault is not None:
            fault(self, request)
        else:
            self.reply(200, fake.page(request))

    def reply(self, status: int, content: Mapping[str, Any]) -> None:
        """A whole answer."""
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


Fault = Callable[[Exchange, dict[str, Any]], None]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    fake: FakeSsm

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is part of the tests."""


@dataclass
class FakeSsm:
    """The service; a context manager whose `url` is the endpoint.

    `faults` happen to the calls in the order in which they come; None is a call that goes well, and when the
    list is used up all go well. `always` happens to every call.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    faults: list[Fault | None] = field(default_factory=list)
    always: Fault | None = None
    empty_pages: bool = False
    round_trip: float = 0.0
    """Seconds that every answer takes."""
    requests: list[dict[str, Any]] = field(default_factory=list)

    def __enter__(self) -> FakeSsm:
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), Exchange)
        self._server.fake = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """The endpoint, for AWS_ENDPOINT_URL_SSM."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def next_fault(self, request: dict[str, Any]) -> Fault | None:
        """Note the call; the fault that is to happen to it."""
        with self._lock:
            self.requests.append(request)
            return self.faults.pop(0) if self.faults else self.always

    def page(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The page that a call asks for."""
        pages = self.pages(request["Path"], min(request.get("MaxResults", PAGE_SIZE), PAGE_SIZE))
        number = int(request.get("NextToken", "0"))
        answer: dict[str, Any] = {
            "Parameters": [
                {"Name": name, "Type": "SecureString", "Value": self.parameters[name], "Version": 1}
                for name in pages[number]
            ]
        }
        if number + 1 < len(pages):
            answer["NextToken"] = str(number + 1)
        return answer

    def pages(self, path: str, size: int) -> list[list[str]]:
        """The names of every page of a path: its direct children."""
        prefix = path.rstrip("/") + "/"
        names = [
            name for name in self.parameters if name.startswith(prefix) and "/" not in name[len(prefix) :]
        ]
        pages = [names[start : start + size] for start in range(0, len(names), size)] or [[]]
        return [part for page in pages for part in ([], page, [])] if self.empty_pages else pages


def error(status: int, code: str, message: str = "no") -> Fault:
    """AWS's own way of saying no."""
    return lambda exchange, _: exchange.reply(status, {"__type": code, "message": message})


def page_of_errors(exchange: Exchange, _: dict[str, Any]) -> None:
    """A load balancer's 503: no JSON at all."""
    body = b"<html>Service Unavailable</html>"
    exchange.send_response(503)
    exchange.send_header("Content-Length", str(len(body)))
    exchange.end_headers()
    exchange.wfile.write(body)


def dropped_before_an_answer(exchange: Exchange, _: dict[str, Any]) -> None:
    """The connection ends without a word."""
    exchange.close_connection = True


def dropped_in_the_answer(exchange: Exchange, request: dict[str, Any]) -> None:
    """Half of the body comes, and the length says so."""
    body = json.dumps(exchange.server.fake.page(request)).encode()
    exchange.send_response(200)
    exchange.send_header("Content-Length", str(len(body)))
    exchange.end_headers()
    exchange.wfile.write(body[: len(body) * 3 // 4])
    exchange.close_connection = True


def cut_off_without_a_length(exchange: Exchange, request: dict[str, Any]) -> None:
    """Half of the body comes, and nothing says how long it should be."""
    body = json.dumps(exchange.server.fake.page(request)).encode()
    exchange.send_response(200)
    exchange.send_header("Connection", "close")
    exchange.end_headers()
    exchange.wfile.write(body[: len(body) * 3 // 4])
    exchange.close_connection = True


def slow(seconds: float) -> Fault:
    """An answer that comes later than a client waits."""

    def fault(exchange: Exchange, request: dict[str, Any]) -> None:
        time.sleep(seconds)
        exchange.reply(200, exchange.server.fake.page(request))

    return fault


throttled = error(400, "ThrottlingException", "Rate exceeded")
internal_error = error(500, "InternalServerError")
access_denied = error(
    400,
    "AccessDeniedException",
    "User: arn:aws:sts::123456789012:assumed-role/w is not authorized to perform: ssm:GetParametersByPath",
)
not_found = error(400, "ParameterNotFound")
