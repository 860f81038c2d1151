"""What AWS does to an instance unasked, on demand: Spot notices, rebalance recommendations, throttling, and
a metadata service that is away.

The daemon takes orders as ``POST /_rehearsal/<order>`` with a JSON object, beside AWS's own APIs;
``rehearsal.aws.session`` sends them. At the end of a Spot notice the machine goes as by a power cut: worse
than EC2, which powers it off.

Left out: notices of hibernation and stopping (all are to terminate), scheduled maintenance.
"""

from __future__ import annotations

import io
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from rehearsal.aws.timers import Schedule

log = logging.getLogger(__name__)
PREFIX = "/_rehearsal/"
SPOT_SECONDS = 120.0
"""Seconds between a Spot notice and the end of the instance, as EC2 gives them."""
PAUSE = 0.2
"""Seconds between two looks whether the metadata service is back."""
SCOPE = re.compile(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/aws4_request")
"""Where a signed request names its service."""
MESSAGE = "Rate exceeded"


class Interruptible(Protocol):
    """An instance that can be told of its end, and taken away."""

    spot_end: datetime | None
    rebalance_at: datetime | None

    def taken_away(self) -> None:
        """The machine is gone from one moment to the next."""


class Interruptions:
    """Orders that were given, and those that still have to be carried out."""

    def __init__(
        self,
        schedule: Schedule,
        instance: Callable[[str], Interruptible],
        rebalanced: Callable[[str], None] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``instance`` finds an instance by its id; ``rebalanced`` hears of a recommendation."""
        self._schedule, self._instance, self._rebalanced, self._now = schedule, instance, rebalanced, now
        self._lock = threading.Lock()
        self._throttled: dict[str, int] = {}
        self._away: dict[str, float] = {}

    def spot_notice(self, instance: str, seconds: float = SPOT_SECONDS) -> None:
        """Tell an instance that it ends, and take it away then."""
        found = self._instance(instance)
        found.spot_end = self._now() + timedelta(seconds=seconds)
        self._schedule.after(seconds, found.taken_away)

    def rebalance(self, instance: str) -> None:
        """Tell an instance, and its group, that it is at risk."""
        self._instance(instance).rebalance_at = self._now()
        self._rebalanced(instance)

    def throttle(self, service: str, calls: int, action: str = "") -> None:
        """Refuse the next calls of a service, by the name that requests are signed for; or only those of one
        action. 0 ends it.
        """
        with self._lock:
            self._throttled[f"{service}:{action}"] = calls

    def metadata_away(self, address: str, seconds: float) -> None:
        """Give an address no answer from the metadata service for so long; 0 ends it."""
        with self._lock:
            self._away[address] = self._schedule.clock() + seconds

    def is_away(self, address: str) -> bool:
        """Whether the metadata service is away for this address."""
        with self._lock:
            return self._schedule.clock() < self._away.get(address, 0.0)

    def hold(self, address: str) -> None:
        """Return once the service is back: a caller learns of its absence by a time limit of its own."""
        while self.is_away(address):
            time.sleep(PAUSE)

    def around(self, application: WSGIApplication) -> WSGIApplication:
        """The APIs, with orders taken beside them and calls refused before them."""

        def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
            path = str(environ.get("PATH_INFO", ""))
            if path.startswith(PREFIX):
                status, said = self._obey(path.removeprefix(PREFIX), environ)
                start(status, [("Content-Type", "text/plain; charset=utf-8")])
                return [said.encode()]
            if self._throttled and (refusal := self._refusal(environ)) is not None:
                status, headers, body = refusal
                start(status, [*headers, ("Content-Length", str(len(body)))])
                return [body]
            return application(environ, start)

        return answer

    def _obey(self, order: str, environ: WSGIEnvironment) -> tuple[str, str]:
        orders: dict[str, Callable[..., None]] = {
            "spot-notice": self.spot_notice,
            "rebalance": self.rebalance,
            "throttle": self.throttle,
            "metadata-away": self.metadata_away,
        }
        if order not in orders or environ["REQUEST_METHOD"] != "POST":
            return "404 Not Found", f"Orders are {', '.join(orders)}."
        try:
            orders[order](**json.loads(_body(environ)))
        except Exception as error:
            log.exception("The order %s was refused", order)
            return "400 Bad Request", f"{type(error).__name__}: {error}"
        return "200 OK", ""

    def _refusal(self, environ: WSGIEnvironment) -> tuple[str, list[tuple[str, str]], bytes] | None:
        """The answer to a call that is to be refused; None lets it pass."""
        scope = SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
        if scope is None:
            return None
        service = scope.group(1)
        with self._lock:
            names = [
                name for name in (f"{service}:", f"{service}:{_action(environ)}") if self._throttled.get(name)
            ]
            if not names:
                return None
            self._throttled[names[0]] -= 1
        return refusal(service, environ)


def refusal(service: str, environ: WSGIEnvironment) -> tuple[str, list[tuple[str, str]], bytes]:
    """How a service words that it is called too often, in the protocol of the request."""
    if environ.get("HTTP_SMITHY_PROTOCOL") == "rpc-v2-cbor":
        texts = ("__type", "ThrottlingException", "message", MESSAGE)
        body = b"\xa2" + b"".join(bytes([0x60 + len(text)]) + text.encode() for text in texts)
        return (
            "400 Bad Request",
            [("Content-Type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")],
            body,
        )
    if "HTTP_X_AMZ_TARGET" in environ:
        said = json.dumps({"__type": "ThrottlingException", "message": MESSAGE})
        return "400 Bad Request", [("Content-Type", "application/x-amz-json-1.1")], said.encode()
    if service == "ec2":
        error = f"<Error><Code>RequestLimitExceeded</Code><Message>{MESSAGE}</Message></Error>"
        said = f"<Response><Errors>{error}</Errors><RequestID>rehearsal</RequestID></Response>"
        return "503 Service Unavailable", [("Content-Type", "text/xml")], said.encode()
    error = f"<Error><Type>Sender</Type><Code>Throttling</Code><Message>{MESSAGE}</Message></Error>"
    said = f"<ErrorResponse>{error}<RequestId>rehearsal</RequestId></ErrorResponse>"
    return "400 Bad Request", [("Content-Type", "text/xml")], said.encode()


def _action(environ: WSGIEnvironment) -> str:
    """The name of the called action, wherever the protocol puts it; the body is left to be read again."""
    if target := str(environ.get("HTTP_X_AMZ_TARGET", "")):
        return target.rpartition(".")[2]
    if environ.get("HTTP_SMITHY_PROTOCOL"):
        return str(environ.get("PATH_INFO", "")).rpartition("/")[2]
    body = _body(environ)
    environ["wsgi.input"] = io.BytesIO(body)
    match = re.search(r"(?:^|&)Action=(\w+)", body.decode(errors="replace"))
    return match.group(1) if match else ""


def _body(environ: WSGIEnvironment) -> bytes:
    read: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return read
