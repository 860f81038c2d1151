"""A LeaseClient without a database: it answers as told, and a call may be held up until it is abandoned."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from airkiln.errors import UnavailableError
from airkiln.failover.lease import BlockingSession, Grant, LeaseRow
from airkiln.failover.model import Progress

PASSWORD = "the epoch's very own password"

FREE = LeaseRow(
    holder="",
    epoch=6,
    seq=0,
    remaining=-1.0,
    paused=False,
    switchover_to=None,
    standbys=1,
)


@dataclass
class Lease:
    """The one row that all clients of a test share, and the calls that came."""

    view: LeaseRow = FREE
    held_by: str = ""

    def __post_init__(self) -> None:
        self.calls: list[str] = []
        self.ready: set[bool] = set()
        """What polls reported."""
        self.lock = threading.Lock()
        self.before: Callable[[str], None] = lambda _: None
        """Called with each call's name before it is answered: it may raise or wait."""
        self.answers: dict[str, Any] = {}
        """Instead of what would be answered, by the call's name."""
        self.swallowed: set[str] = set()
        """Names of calls that the network drops."""


class FakeClient:
    """Of one connection. `end()` is the server's end of it."""

    def __init__(self, lease: Lease, holder: str = "a/1") -> None:
        self.lease, self.holder = lease, holder
        self.connection: socket.socket | None = None
        self.other_end: socket.socket | None = None
        self.abandoned = threading.Event()
        self.closed = 0

    def _called(self, name: str, default: Any) -> Any:  # noqa: ANN401 - of each call
        if self.connection is None:
            self.connection, self.other_end = socket.socketpair()
        with self.lease.lock:
            self.lease.calls.append(name)
        if name in self.lease.swallowed:
            self.hang()
        self.lease.before(name)
        return self.lease.answers.get(name, default)

    def hang(self) -> None:
        """For `before`: the network drops what is sent, until the call is abandoned."""
        self.abandoned.wait()
        raise UnavailableError("no answer")

    def tell(self) -> None:
        """NOTIFY."""
        assert self.other_end is not None
        self.other_end.send(b"!")

    def end(self) -> None:
        """The server ends the connection."""
        assert self.other_end is not None
        self.other_end.close()

    def poll(self, ready: bool) -> LeaseRow:
        self.lease.ready.add(ready)
        return self._called("poll", self.lease.view)  # type: ignore[no-any-return]  # as all that follow

    def renew(self, ready: bool, epoch: int) -> tuple[bool, LeaseRow]:
        held = self.lease.held_by == self.holder and self.lease.view.epoch == epoch
        return self._called("renew", (held, self.lease.view))  # type: ignore[no-any-return]

    def acquire(self) -> Grant | None:
        epoch = self.lease.view.epoch + 1
        grant = Grant(epoch, f"airflow_scheduler_{epoch}", PASSWORD)
        found: Grant | None = self._called("acquire", grant)
        if found is not None:
            self.lease.held_by = self.holder
            self.lease.view = replace(self.lease.view, holder=self.holder, epoch=epoch, remaining=4.0)
        return found

    def fence(self, epoch: int) -> int:
        return int(self._called("fence", 0))

    def adopt(self, epoch: int) -> int | None:
        return self._called("adopt", 1)  # type: ignore[no-any-return]

    def progress(self, epoch: int) -> Progress:
        return self._called("progress", Progress(None, locked=False, busy=False))  # type: ignore[no-any-return]

    def release(self, epoch: int, reason: str) -> bool:
        self.lease.held_by = ""
        self.lease.view = replace(self.lease.view, holder="", remaining=-1.0)
        return bool(self._called("release", True))

    def request(self, what: str, target: str | None, by: str) -> None:
        self._called(f"request {what}", None)

    def blocking_locks(self, epoch: int) -> list[BlockingSession]:
        return list(self._called("blocking_locks", []))

    def end_session(self, epoch: int, session: BlockingSession) -> bool:
        return bool(self._called(f"end_session {session.pid} {session.transaction}", True))

    def fileno(self) -> int:
        return -1 if self.connection is None else self.connection.fileno()

    def notified(self) -> bool:
        if self.connection is None:
            return False
        try:
            if not self.connection.recv(16, socket.MSG_DONTWAIT):
                raise UnavailableError("the server closed the connection")
        except BlockingIOError:
            return False
        return True

    def abandon(self) -> None:
        self.abandoned.set()

    def close(self) -> None:
        self.closed += 1
        for each in (self.connection, self.other_end):
            if each is not None:
                each.close()
        self.connection = None
