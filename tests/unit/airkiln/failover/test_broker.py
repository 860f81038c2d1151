"""Whether the broker answers: where it is, which answers count, and what a question that hangs means."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from airkiln.errors import NotReadyError
from airkiln.failover import broker
from airkiln.failover.broker import QUEUES, Broker, BrokerProbe, ask, find
from airkiln.failover.config import BROKER_TIMEOUT
from airkiln.roles import BROKER

SQS = {BROKER: "sqs://", QUEUES: json.dumps({"default": {"url": "https://sqs.eu-west-1.amazonaws.com/1/q"}})}


@contextmanager
def answering(*answers: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A server that gives each connection the next of these answers: its port, and what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answer in answers:
                connection, _ = server.accept()
                with connection:
                    asked.append(connection.recv(1000))
                    connection.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        yield server.getsockname()[1], asked
        serving.join()


def redis(port: int) -> dict[str, str]:
    return {BROKER: f"redis://:secret@127.0.0.1:{port}/0"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (SQS, ("sqs.eu-west-1.amazonaws.com", 443, True)),
        (SQS | {"AWS_ENDPOINT_URL": "http://10.0.0.1:4566"}, ("10.0.0.1", 4566, False)),
        (
            SQS
            | {"AWS_ENDPOINT_URL": "http://10.0.0.1:4566", "AWS_ENDPOINT_URL_SQS": "https://vpce.example"},
            ("vpce.example", 443, True),
        ),
        ({BROKER: "redis://redis.internal"}, ("redis.internal", 6379, False)),
        (
            {BROKER: "rediss://:token@redis.internal:6380/0?ssl_cert_reqs=required"},
            ("redis.internal", 6380, True),
        ),
    ],
)
def test_where_the_broker_is(variables: dict[str, str], expected: tuple[str, int, bool]) -> None:
    found = find(variables)
    assert found is not None
    assert (found.host, found.port, found.tls) == expected


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {BROKER: "sqs://"},
        {BROKER: "sqs://", QUEUES: "not JSON"},
        {BROKER: "sqs://", QUEUES: '["a list"]'},
        {BROKER: "sqs://", QUEUES: '{"default": {}}'},
        {BROKER: "amqp://broker.internal"},
        {BROKER: "redis://one;redis://two"},
        SQS | {"HTTPS_PROXY": "http://proxy.internal:3128"},
    ],
)
def test_a_broker_that_cannot_be_asked_is_never_lost(variables: dict[str, str]) -> None:
    assert find(variables) is None
    probe = BrokerProbe(lambda: variables)
    probe.turn()
    assert not probe.lost(0.0)


@pytest.mark.parametrize(
    "variables", [SQS | {BROKER: "sqs://"}, {BROKER: "redis://user:secret@redis.internal"}]
)
def test_no_secret_is_sent(variables: dict[str, str]) -> None:
    found = find(variables)
    assert found is not None
    assert b"secret" not in found.question


@pytest.mark.parametrize(
    "answer",
    [
        b"+PONG\r\n",
        b"-NOAUTH Authentication required.\r\n",
        b"HTTP/1.1 403 Forbidden\r\n",
        b"HTTP/1.1 200 OK\r\n",
    ],
)
def test_any_answer_of_a_service_in_working_order_counts(answer: bytes) -> None:
    with answering(answer) as (port, asked):
        assert ask(Broker("127.0.0.1", port, False, b"PING\r\n")) is None
    assert asked == [b"PING\r\n"]


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (b"", "it closed the connection"),
        (b"HTTP/1.1 503 Service Unavailable\r\n", "it answers with an error"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "it answers with an error"),
        (b"-MASTERDOWN Link with MASTER is down\r\n", "it answers with an error"),
    ],
)
def test_an_answer_that_says_that_it_cannot_work_does_not(answer: bytes, wrong: str) -> None:
    with answering(answer) as (port, _):
        assert ask(Broker("127.0.0.1", port, False, b"PING\r\n")) == wrong


def test_a_server_that_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = Broker("127.0.0.1", server.getsockname()[1], False, b"PING\r\n")
        assert ask(found, timeout=0.01) == "TimeoutError"


def test_a_server_without_tls_is_not_the_broker() -> None:
    with answering(b"HTTP/1.1 400 Bad Request\r\n") as (port, _):
        assert ask(Broker("127.0.0.1", port, True, b"GET / HTTP/1.1\r\n")) is not None


def test_losing_the_broker_and_its_return_are_each_said_once(capfd: pytest.CaptureFixture[str]) -> None:
    with answering(b"+PONG\r\n", b"", b"", b"+PONG\r\n", b"+PONG\r\n") as (port, _):
        probe = BrokerProbe(lambda: redis(port), clock=lambda: 7.0)
        lost = []
        for _ in range(5):
            probe.turn()
            lost.append(probe.lost(7.0))
    assert lost == [False, True, True, False, False]
    said = capfd.readouterr().err
    assert said.count("event=broker-lost") == said.count("event=broker-back") == 1
    assert "secret" not in said


def test_a_question_that_hangs_in_the_resolver_has_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, goes_on = threading.Event(), threading.Event()

    def hang(_: Broker) -> None:
        asked.set()
        goes_on.wait()

    monkeypatch.setattr(broker, "ask", hang)
    probe = BrokerProbe(lambda: SQS, clock=lambda: 100.0)
    turning = threading.Thread(target=probe.turn)
    turning.start()
    asked.wait()
    assert not probe.lost(100.0 + 2 * BROKER_TIMEOUT)
    assert probe.lost(100.1 + 2 * BROKER_TIMEOUT)
    goes_on.set()
    turning.join()
    assert not probe.lost(200.0)


def test_variables_that_cannot_be_read_change_nothing() -> None:
    def unreadable() -> dict[str, str]:
        raise NotReadyError("not loaded yet")

    probe = BrokerProbe(unreadable)
    probe.turn()
    assert not probe.lost(0.0)
