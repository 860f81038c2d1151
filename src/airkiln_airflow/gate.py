"""The scheduler's end of the gate: a UNIX socket on which the failover controller says when to lead.

One JSON line goes each way: ``{"state": "warm"}`` to the controller, ``{"go": <epoch>}`` back. From then on
the open connection ties the two together: when the controller ends, for whatever reason, its side closes.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

_PAUSE = 0.1
"""Seconds between two attempts to reach a controller that does not listen yet."""

_LONGEST_LINE = 4096
"""Bytes; the controller's line has about fifteen."""


@dataclass(frozen=True)
class Opened:
    """A gate that was opened: in which epoch, and the connection that must not end."""

    epoch: int
    connection: socket.socket


class GateError(Exception):
    """The controller sent something other than an opening."""


def wait(path: Path) -> Opened:
    """Report that this process is warm, and wait without a limit until the gate opens.

    A controller that is not there yet, or goes away before it opened the gate, is only waited for: a process
    that leads nothing has nothing to stop.

    :raises GateError: the controller speaks another language, so it is of another release.
    """
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            connection.connect(str(path))
            connection.sendall(b'{"state": "warm"}\n')
            line = _line(connection)
        except OSError:
            line = b""
        if line:
            return Opened(_epoch(line), connection)
        connection.close()
        time.sleep(_PAUSE)


def _line(connection: socket.socket) -> bytes:
    """The one line of the controller, or nothing if it went away before its end."""
    line = b""
    while not line.endswith(b"\n"):
        # Byte by byte: nothing that follows the line may be taken with it, for there is nothing to follow.
        byte = connection.recv(1)
        if not byte:
            return b""
        line += byte
        if len(line) > _LONGEST_LINE:
            raise GateError(f"the failover controller's line is longer than {_LONGEST_LINE} bytes")
    return line


def _epoch(line: bytes) -> int:
    try:
        epoch = json.loads(line)["go"]
    except (ValueError, KeyError, TypeError) as error:
        raise GateError(f"the failover controller said {line[:80]!r}, which opens no gate") from error
    if type(epoch) is not int or epoch < 1:
        raise GateError(f"the failover controller named the epoch {epoch!r}, which is not a positive number")
    return epoch


def die_with(connection: socket.socket) -> None:
    """Have the kernel end this process as soon as the other end of the connection closes.

    The kernel sends SIGIO, whose default action ends the process: no thread that a fork could trip over, and
    nothing that waits for the interpreter's lock while the scheduler is busy in C. The journal shows
    ``code=killed, status=29/IO``. Children give the connection up when they are forked, so that the
    controller sees the end of this process and not of its last child.
    """
    fcntl.fcntl(connection, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(connection, fcntl.F_GETFL)
    fcntl.fcntl(connection, fcntl.F_SETFL, flags | os.O_ASYNC)
    os.register_at_fork(after_in_child=connection.close)
    try:
        connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return
    except OSError:
        pass
    # It closed, or sent more, before the kernel was watching.
    os._exit(1)
