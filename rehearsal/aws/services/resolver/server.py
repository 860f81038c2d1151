"""Answers DNS over UDP and TCP. What is not of this AWS is asked of the next server, as it was asked here."""

from __future__ import annotations

import logging
import socket
import struct
import threading
from collections.abc import Callable
from ipaddress import IPv4Address
from socketserver import BaseRequestHandler, ThreadingTCPServer, ThreadingUDPServer

from rehearsal.aws.services.resolver.messages import FAILURE, NO_ERROR, NO_SUCH_NAME, answer, read

Addresses = Callable[[str], list[IPv4Address] | None]
"""As ``names.addresses``."""
log = logging.getLogger(__name__)
PATIENCE = 5.0
"""Seconds for the next server: the resolver's own default time-out (resolv.conf(5))."""
LARGEST = 65_535
"""Bytes of a message."""


class Resolver:
    """What both transports do."""

    def __init__(self, addresses: Addresses, upstream: tuple[str, int]) -> None:
        """:param upstream: address and port of the next server."""
        self._addresses, self._upstream = addresses, upstream

    def reply(self, message: bytes, *, stream: bool = False) -> bytes | None:
        """Return the answer to a message; None to what is not a question.

        :param stream: ask the next server by TCP, where an answer may be longer.
        """
        try:
            asked = read(message)
        except ValueError:
            return None
        try:
            found = self._addresses(asked.name)
            if found is None:
                return self._by_stream(message) if stream else self._by_datagram(message)
        except OSError:
            return answer(asked, [], FAILURE)
        except Exception:
            log.exception("The name %s cannot be looked up", asked.name)
            return answer(asked, [], FAILURE)
        return answer(asked, found, NO_ERROR if found else NO_SUCH_NAME)

    def _by_datagram(self, message: bytes) -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(self._upstream)
            connection.send(message)
            return connection.recv(LARGEST)

    def _by_stream(self, message: bytes) -> bytes:
        with socket.create_connection(self._upstream, timeout=PATIENCE) as connection:
            connection.sendall(framed(message))
            return receive(connection)


def framed(message: bytes) -> bytes:
    """Return a message as it goes over TCP: after its length."""
    return struct.pack("!H", len(message)) + message


def receive(connection: socket.socket) -> bytes:
    """Return one message of a TCP connection.

    :raises OSError: the connection ended before.
    """
    with connection.makefile("rb") as stream:
        head = stream.read(2)
        body = stream.read(struct.unpack("!H", head)[0]) if len(head) == 2 else b""
    if not body:
        raise ConnectionResetError("The connection ended before a message.")
    return body


def start(bind: tuple[str, int], resolver: Resolver) -> tuple[ThreadingUDPServer, ThreadingTCPServer]:
    """Serve both transports in threads until the process ends; returns the servers.

    :raises OSError: the address is in use or not of this network.
    """

    class Datagram(BaseRequestHandler):
        """One question by UDP."""

        def handle(self) -> None:
            """Answer it, if it is a question."""
            message, connection = self.request
            reply = resolver.reply(message)
            if reply is not None:
                connection.sendto(reply, self.client_address)

    class Stream(BaseRequestHandler):
        """One question by TCP."""

        def handle(self) -> None:
            """Answer it, if it is a question."""
            self.request.settimeout(PATIENCE)
            try:
                reply = resolver.reply(receive(self.request), stream=True)
            except OSError:
                return
            if reply is not None:
                self.request.sendall(framed(reply))

    by_datagram = ThreadingUDPServer(bind, Datagram, bind_and_activate=False)
    by_datagram.daemon_threads = True
    by_datagram.server_bind()
    by_stream = ThreadingTCPServer(by_datagram.server_address, Stream, bind_and_activate=False)
    by_stream.daemon_threads = True
    by_stream.allow_reuse_address = True
    try:
        by_stream.server_bind()
        by_stream.server_activate()
    except OSError:
        by_stream.server_close()
        by_datagram.server_close()
        raise
    for server in (by_datagram, by_stream):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    return by_datagram, by_stream
