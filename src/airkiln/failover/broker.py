"""Whether this host reaches its broker, asked in a thread of its own: no lease waits for the answer.

The question needs no permission and carries no secret: SQS is sent a request without a signature and Redis a
PING without a password. Any answer of the service shows that the way to it is open, a refusal included. The
server's certificate is not verified: the request contains no secret, and only whether it is answered counts.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from airkiln import urls
from airkiln.errors import AirkilnError
from airkiln.failover.config import BROKER_EVERY, BROKER_TIMEOUT
from airkiln.host.clock import boottime
from airkiln.roles import BROKER
from airkiln.systemd.journal import NOTICE, WARNING, say

QUEUES = "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__PREDEFINED_QUEUES"
ENDPOINTS = ("AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL")
PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
ANSWERS = (b"+PONG", b"-NOAUTH", b"HTTP/1.1 2", b"HTTP/1.1 3", b"HTTP/1.1 4", b"HTTP/1.0 2", b"HTTP/1.0 4")
"""How the answer of a service in working order begins. NOAUTH is Redis's to a PING without its password."""
LONGEST_ANSWER = 10
"""Bytes of an answer that are read."""


@dataclass(frozen=True)
class Broker:
    """Where the broker is, and what to ask it."""

    host: str
    port: int
    tls: bool
    question: bytes


def find(variables: Mapping[str, str]) -> Broker | None:
    """The broker that the scheduler uses; None where it cannot be asked in this way, such as by a proxy."""
    try:
        url = urls.parse(variables.get(BROKER, ""))
    except ValueError:
        return None
    if url.scheme in ("redis", "rediss") and url.host:
        return Broker(url.host, url.port or 6379, url.scheme == "rediss", b"PING\r\n")
    if url.scheme != "sqs" or url.host or any(variables.get(name) for name in PROXIES):
        return None
    endpoint = urlsplit(next(filter(None, map(variables.get, ENDPOINTS)), None) or _queue(variables))
    if endpoint.hostname is None:
        return None
    tls = endpoint.scheme == "https"
    question = f"GET / HTTP/1.1\r\nHost: {endpoint.netloc}\r\nConnection: close\r\n\r\n"
    return Broker(endpoint.hostname, endpoint.port or (443 if tls else 80), tls, question.encode())


def _queue(variables: Mapping[str, str]) -> str:
    """The URL of a queue; empty where none is named."""
    try:
        return str(next(iter(json.loads(variables.get(QUEUES, "{}")).values()))["url"])
    except (ValueError, StopIteration, KeyError, TypeError, AttributeError):
        return ""


def ask(broker: Broker, timeout: float = BROKER_TIMEOUT) -> str | None:
    """Ask once. Returns what is wrong, None where the broker answers.

    :param timeout: seconds for the connection, and again for the answer. A resolver has its own limit.
    """
    try:
        with _connect(broker, timeout) as connection:
            connection.sendall(broker.question)
            answer = b""
            while len(answer) < LONGEST_ANSWER and (more := connection.recv(LONGEST_ANSWER)):
                answer += more
                if answer.startswith(ANSWERS):
                    return None
    except OSError as error:
        return error.strerror or type(error).__name__
    return "it answers with an error" if answer else "it closed the connection"


def _connect(broker: Broker, timeout: float) -> socket.socket:
    connection = socket.create_connection((broker.host, broker.port), timeout)
    if not broker.tls:
        return connection
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the authorities: reading them takes longer
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(connection, server_hostname=broker.host)


class BrokerProbe(threading.Thread):
    """Asks the broker again and again.

    :param variables: reads the scheduler's variables, anew for each question; it may raise AirkilnError.
    """

    def __init__(
        self, variables: Callable[[], Mapping[str, str]], clock: Callable[[], float] = boottime
    ) -> None:
        super().__init__(name="broker", daemon=True)
        self._variables, self._clock = variables, clock
        self._asked_at: float | None = None
        self._lost_at: float | None = None

    def lost(self, now: float) -> bool:
        """Whether the broker did not answer when it was asked last; False where nothing is known.

        A question that hangs in the resolver, which has no limit of ours, has no answer either.

        :param now: CLOCK_BOOTTIME in seconds.
        """
        asked_at = self._asked_at
        return self._lost_at is not None or (asked_at is not None and now - asked_at > 2 * BROKER_TIMEOUT)

    def run(self) -> None:
        """Ask until the process ends."""
        while True:
            self.turn()
            time.sleep(BROKER_EVERY)

    def turn(self) -> None:
        """Ask once, and say in the journal what has changed."""
        try:
            broker = find(self._variables())
        except AirkilnError:
            return  # the controller itself says so
        if broker is None:
            self._lost_at = None
            return
        self._asked_at = asked_at = self._clock()
        wrong = ask(broker)
        self._asked_at = None
        if wrong is not None and self._lost_at is None:
            self._lost_at = asked_at
            say(f"event=broker-lost reason={broker.host}:{broker.port}: {wrong}", WARNING)
        elif wrong is None and self._lost_at is not None:
            say(f"event=broker-back reason=after {self._clock() - self._lost_at:.1f} s", NOTICE)
            self._lost_at = None
