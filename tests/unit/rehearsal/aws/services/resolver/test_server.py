"""The DNS server answers what it knows, and asks the next server for everything else."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address
from socketserver import ThreadingTCPServer, ThreadingUDPServer

import pytest

from rehearsal.aws.services.resolver.messages import FAILURE, NO_SUCH_NAME, answer, read
from rehearsal.aws.services.resolver.server import Resolver, framed, receive, start
from tests.unit.rehearsal.aws.services.resolver.test_messages import query, told

Ask = Callable[[tuple[str, int], bytes], bytes]
KNOWN = {"known.internal": [IPv4Address("10.20.48.4")], "gone.internal": []}
NEXT = [IPv4Address("192.0.2.7")]


ATTEMPTS = 20
"""The kernel chooses a port that is free for datagrams; another process may have it for streams."""


def started(resolver: Resolver) -> tuple[ThreadingUDPServer, ThreadingTCPServer]:
    """Both transports, on a port that is free for both."""
    for _ in range(ATTEMPTS - 1):
        with suppress(OSError):
            return start(("127.0.0.1", 0), resolver)
    return start(("127.0.0.1", 0), resolver)


@contextmanager
def serving(resolver: Resolver) -> Iterator[tuple[str, int]]:
    """Both transports of a resolver, at their address."""
    servers = started(resolver)
    try:
        yield "127.0.0.1", int(servers[0].server_address[1])
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


@contextmanager
def next_server() -> Iterator[tuple[str, int]]:
    """A server that knows one address for every name."""
    with serving(Resolver(lambda _: NEXT, ("127.0.0.1", 9))) as address:
        yield address


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    with next_server() as upstream, serving(Resolver(KNOWN.get, upstream)) as found:
        yield found


def by_datagram(address: tuple[str, int], message: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.settimeout(10)
        connection.sendto(message, address)
        return connection.recv(65_535)


def by_stream(address: tuple[str, int], message: bytes) -> bytes:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(framed(message))
        return receive(connection)


ASK = pytest.mark.parametrize("ask", [by_datagram, by_stream])


@ASK
def test_a_known_name_has_its_address(ask: Ask, address: tuple[str, int]) -> None:
    assert told(ask(address, query("known.internal"))) == ["10.20.48.4"]


@ASK
def test_a_name_that_has_gone_is_asked_of_nobody_else(ask: Ask, address: tuple[str, int]) -> None:
    reply = ask(address, query("gone.internal"))
    assert told(reply) == []
    assert struct.unpack_from("!H", reply, 2)[0] & 0x000F == NO_SUCH_NAME


@ASK
def test_another_name_is_asked_of_the_next_server(ask: Ask, address: tuple[str, int]) -> None:
    assert told(ask(address, query("deb.debian.org"))) == ["192.0.2.7"]


def test_a_next_server_that_does_not_answer_is_a_failure_of_the_lookup() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        resolver = Resolver(KNOWN.get, unused.getsockname())
        reply = resolver.reply(query("deb.debian.org"), stream=True)
    assert reply == answer(read(query("deb.debian.org")), [], FAILURE)


def test_a_defect_of_a_lookup_is_a_failure_and_ends_no_server() -> None:
    def broken(_: str) -> None:
        raise KeyError("name")

    reply = Resolver(broken, ("127.0.0.1", 9)).reply(query("known.internal"))
    assert reply == answer(read(query("known.internal")), [], FAILURE)


def test_what_is_no_question_gets_no_answer() -> None:
    assert Resolver(KNOWN.get, ("127.0.0.1", 9)).reply(b"nothing") is None


def test_questions_at_the_same_time_are_answered() -> None:
    with next_server() as address:
        threads = [threading.Thread(target=by_stream, args=(address, query("a.b"))) for _ in range(8)]
        for thread in threads:
            thread.start()
        assert told(by_datagram(address, query("a.b"))) == ["192.0.2.7"]
        for thread in threads:
            thread.join()


def test_a_port_that_is_taken_for_streams_is_an_error_and_is_free_for_datagrams_afterwards() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        with pytest.raises(OSError, match="in use"):
            start(taken.getsockname(), Resolver(KNOWN.get, ("127.0.0.1", 9)))
        datagrams.bind(taken.getsockname())
