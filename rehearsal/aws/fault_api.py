"""Injects faults of AWS: Spot interruptions, rebalance recommendations, live migrations, throttled calls.

The daemon accepts ``POST /_rehearsal/<fault>`` with a JSON object beside AWS's own APIs;
``rehearsal.aws.fault_client`` sends these requests. Sources: the EC2 user guide, "Spot Instance interruption
notices" and "EC2 instance rebalance recommendations"; the error codes are those of each service's API
reference. What a live migration does to metadata was reported by users and confirmed by AWS's support.

When a Spot notice has run out the machine loses its power at once. EC2 shuts the instance down, which is
milder. Left out: notices to stop or hibernate (all are to terminate), scheduled maintenance.
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
"""Seconds between a Spot notice and the interruption (EC2 user guide)."""
POLL_EVERY = 0.2
"""Seconds between two checks of whether the metadata service is available again."""
SCOPE = re.compile(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/aws4_request")
"""The service's name in the Authorization header of a signed request."""
MESSAGE = "Rate exceeded"


class Interruptible(Protocol):
    """An instance that can be interrupted."""

    spot_end: datetime | None
    rebalance_at: datetime | None
    target_lifecycle_state: str | None

    def reclaim(self) -> None:
        """Take the instance away without a shutdown."""


class FaultApi:
    """Injects faults on request, and keeps those that last."""

    def __init__(
        self,
        schedule: Schedule,
        instance: Callable[[str], Interruptible],
        rebalance_recommended: Callable[[str], None] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        forget_tokens: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Inject faults into the instances that ``instance`` finds by their ids.

        :param rebalance_recommended: is called with the id of an instance that EC2 recommends to replace.
        :param forget_tokens: makes the metadata service forget the tokens of an address.
        """
        self._forget_tokens = forget_tokens
        self._schedule, self._instance, self._now = schedule, instance, now
        self._rebalance_recommended = rebalance_recommended
        self._lock = threading.Lock()
        self._throttled: dict[str, int] = {}
        self._unavailable_until: dict[str, float] = {}

    def spot_notice(self, instance: str, seconds: float = SPOT_SECONDS) -> None:
        """Announce an instance's interruption in its metadata, and take it away after ``seconds``."""
        found = self._instance(instance)
        found.spot_end = self._now() + timedelta(seconds=seconds)
        self._schedule.after(seconds, found.reclaim)

    def rebalance(self, instance: str) -> None:
        """Recommend to replace an instance, in its metadata and to Auto Scaling."""
        self._instance(instance).rebalance_at = self._now()
        self._rebalance_recommended(instance)

    def live_migration(self, instance: str, address: str) -> None:
        """Move an instance to other hardware: its metadata lose the tokens, and the lifecycle state until the
        next transition."""
        self._instance(instance).target_lifecycle_state = None
        self._forget_tokens(address)

    def throttle(self, service: str, calls: int, action: str = "") -> None:
        """Refuse the next ``calls`` requests of a service, or of one action of it. 0 ends it.

        :param service: the name for which requests are signed, such as ``autoscaling``.
        """
        with self._lock:
            self._throttled[f"{service}:{action}"] = calls

    def metadata_away(self, address: str, seconds: float) -> None:
        """Leave requests of an address to the metadata service unanswered for ``seconds``. 0 ends it."""
        with self._lock:
            self._unavailable_until[address] = self._schedule.clock() + seconds

    def is_unavailable(self, address: str) -> bool:
        """Return whether the metadata service is unavailable for this address."""
        with self._lock:
            return self._schedule.clock() < self._unavailable_until.get(address, 0.0)

    def wait_while_unavailable(self, address: str) -> None:
        """Return once the metadata service answers this address again; clients run into their time-outs."""
        while self.is_unavailable(address):
            time.sleep(POLL_EVERY)

    def wrap(self, application: WSGIApplication) -> WSGIApplication:
        """Return an application that also takes requests to inject faults, and refuses throttled calls."""

        def respond(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
            path = str(environ.get("PATH_INFO", ""))
            if path.startswith(PREFIX):
                status, reply = self._inject(path.removeprefix(PREFIX), environ)
                start(status, [("Content-Type", "text/plain; charset=utf-8")])
                return [reply.encode()]
            if self._throttled and (refusal := self._refusal(environ)) is not None:
                status, headers, body = refusal
                start(status, [*headers, ("Content-Length", str(len(body)))])
                return [body]
            return application(environ, start)

        return respond

    def _inject(self, fault: str, environ: WSGIEnvironment) -> tuple[str, str]:
        """Inject the fault of a request; return the status and the text of the reply."""
        faults: dict[str, Callable[..., None]] = {
            "spot-notice": self.spot_notice,
            "rebalance": self.rebalance,
            "live-migration": self.live_migration,
            "throttle": self.throttle,
            "metadata-away": self.metadata_away,
        }
        if fault not in faults or environ["REQUEST_METHOD"] != "POST":
            return "404 Not Found", f"There is no fault {fault!r}; POST one of {', '.join(faults)}."
        try:
            faults[fault](**json.loads(_body(environ)))
        except Exception as error:
            log.exception("The request for %s was refused", fault)
            return "400 Bad Request", f"{type(error).__name__}: {error}"
        return "200 OK", ""

    def _refusal(self, environ: WSGIEnvironment) -> tuple[str, list[tuple[str, str]], bytes] | None:
        """Return the answer to a throttled call, or None for any other call."""
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
    """Return status, headers and body with which a service throttles, in the protocol of the request."""
    if environ.get("HTTP_SMITHY_PROTOCOL") == "rpc-v2-cbor":
        texts = ("__type", "ThrottlingException", "message", MESSAGE)
        cbor = b"\xa2" + b"".join(bytes([0x60 + len(text)]) + text.encode() for text in texts)
        return (
            "400 Bad Request",
            [("Content-Type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")],
            cbor,
        )
    if "HTTP_X_AMZ_TARGET" in environ:
        body = json.dumps({"__type": "ThrottlingException", "message": MESSAGE})
        return "400 Bad Request", [("Content-Type", "application/x-amz-json-1.1")], body.encode()
    if service == "ec2":
        error = f"<Error><Code>RequestLimitExceeded</Code><Message>{MESSAGE}</Message></Error>"
        body = f"<Response><Errors>{error}</Errors><RequestID>rehearsal</RequestID></Response>"
        return "503 Service Unavailable", [("Content-Type", "text/xml")], body.encode()
    error = f"<Error><Type>Sender</Type><Code>Throttling</Code><Message>{MESSAGE}</Message></Error>"
    body = f"<ErrorResponse>{error}<RequestId>rehearsal</RequestId></ErrorResponse>"
    return "400 Bad Request", [("Content-Type", "text/xml")], body.encode()


def _action(environ: WSGIEnvironment) -> str:
    """Return the called action, wherever the protocol puts it. The body can be read again afterwards."""
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
