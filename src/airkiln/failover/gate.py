"""The controller's end of the gate, a UNIX socket at which warm schedulers wait.

A process says `{"state": "warm"}` in one line; `{"go": <epoch>}` lets it through, and the connection then
stays open for as long as this controller lives. Nothing more is ever sent: it would end the scheduler.
The controller verifies the process: it must be in the control group of the unit. Whoever else connects is
sent away at once, and few connections are held: a flood of them must not take the controller's descriptors.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
from contextlib import suppress
from pathlib import Path

from airkiln.host.processes import PROC, control_groups
from airkiln.systemd.journal import RateLimit

LONGEST_LINE = 256
"""Bytes; the one line that is expected has about twenty."""
MOST = 16
"""Connections that are held. A scheduler that was restarted has one, and one that is going another."""
AT_ONCE = 64
"""Connections that one turn of the controller takes in: a flood must not hold up the renewal of the lease."""
_CREDENTIALS = struct.Struct("iII")


class Waiting:
    """One connection. `pid` is set, and followed by a pidfd, once it has said that it is warm."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.pid = 0
        self.pidfd = -1
        self.line = b""

    def lives(self) -> bool:
        """Whether its process does."""
        return self.pidfd >= 0 and not select.select([self.pidfd], [], [], 0)[0]

    def close(self) -> None:
        """Let go of it; a scheduler that was let through ends by that."""
        with suppress(OSError):
            self.connection.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


class Gate:
    """Listens at `path`, for processes of `unit`."""

    def __init__(self, path: Path, unit: str, group: int, proc: Path = PROC) -> None:
        self._unit, self._proc = unit, proc
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(path))
        if path.stat().st_gid != group:
            os.chown(path, -1, group)
        path.chmod(0o660)
        self._socket.listen(8)
        self._refusals = RateLimit()
        self._waiting: list[Waiting] = []
        self._through: Waiting | None = None

    def descriptors(self) -> list[int]:
        """What to wait on: readable when `handle` has something to do, or a process ended.

        The end of the one that was let through is readable until `close`.
        """
        found = [self._socket.fileno()]
        for each in self._waiting:
            found += [each.connection.fileno()] + ([each.pidfd] if each.pidfd >= 0 else [])
        if self._through is not None:
            found.append(self._through.pidfd)
        return found

    def handle(self) -> None:
        """Take what came, without waiting."""
        for _ in range(AT_ONCE):
            try:
                connection, _address = self._socket.accept()
            except BlockingIOError:
                break
            except OSError as error:  # the process is gone already, or no descriptor is left
                self._refusals.say("accept", f"event=gate-failed reason={error.strerror}")
                break
            self._take(connection)
        for each in list(self._waiting):
            if not self._read(each) or (each.pid and not each.lives()):
                each.close()
                self._waiting.remove(each)

    @property
    def warm(self) -> int | None:
        """The process that waits, the newest if there are several."""
        return next((each.pid for each in reversed(self._waiting) if each.pid), None)

    @property
    def alive(self) -> int | None:
        """The process that was let through, as long as it lives."""
        return self._through.pid if self._through is not None and self._through.lives() else None

    @property
    def pidfd(self) -> int:
        """Of the process that was let through, or -1."""
        return self._through.pidfd if self._through is not None else -1

    def open(self, pid: int, epoch: int) -> bool:
        """Let it through; False where it is gone."""
        self.close()
        for each in self._waiting:
            if each.pid == pid:
                self._waiting.remove(each)
                try:
                    each.connection.sendall(json.dumps({"go": epoch}).encode() + b"\n")
                except OSError:
                    each.close()
                    return False
                self._through = each
                return True
        return False

    def close(self) -> None:
        """End the connection of the process that was let through."""
        if self._through is not None:
            self._through.close()
            self._through = None

    def _take(self, connection: socket.socket) -> None:
        """Hold a connection of the unit; of several that say nothing, the oldest goes."""
        connection.setblocking(False)
        if not self._of_the_unit(_peer(connection)):
            connection.close()
            return
        if len(self._waiting) >= MOST:
            oldest = next((each for each in self._waiting if not each.pid), None)
            if oldest is None:
                self._refusals.say("many", f"event=gate-refused reason={MOST} processes wait at the gate")
                connection.close()
                return
            oldest.close()
            self._waiting.remove(oldest)
        self._waiting.append(Waiting(connection))

    def _of_the_unit(self, pid: int) -> bool:
        try:
            groups = control_groups(pid, self._proc)
        except OSError:
            return False
        if self._unit not in groups:
            self._refusals.say("stranger", f"event=gate-refused reason=process {pid} is not of {self._unit}")
            return False
        return True

    def _read(self, each: Waiting) -> bool:
        """Whether the connection is still good."""
        try:
            read = each.connection.recv(LONGEST_LINE)
        except BlockingIOError:
            return True
        except OSError:
            return False
        each.line += read
        if not read or len(each.line) > LONGEST_LINE or each.pid:
            return False  # it ended, or sent more than the one line
        if not each.line.endswith(b"\n"):
            return True
        return self._identify(each)

    def _identify(self, each: Waiting) -> bool:
        try:
            if json.loads(each.line)["state"] != "warm":
                return False
        except (ValueError, KeyError, TypeError):
            return False
        pid = _peer(each.connection)
        try:
            each.pidfd = os.pidfd_open(pid)
        except OSError:
            return False
        # After the descriptor is open, so that the number cannot have become another process's.
        if not self._of_the_unit(pid):
            return False
        each.pid = pid
        return True


def _peer(connection: socket.socket) -> int:
    """The process that connected."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[0])
