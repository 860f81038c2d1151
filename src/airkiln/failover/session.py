"""Calls to the database from a loop that never waits for one: a thread makes them, one at a time.

A call that takes too long is abandoned together with its connection and its thread, which ends by itself when
the network lets go of it; the next call has new ones. The loop learns of answers by an eventfd.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from airkiln.errors import AirkilnError
from airkiln.failover.lease import EpochOverError, ForeignLock, Grant, View
from airkiln.failover.model import Answer, Call, Lock, Trouble, What

MOST_STUCK = 8
"""Abandoned threads that may be left at a time, each for seconds: name resolution cannot be interrupted."""


class Client(Protocol):
    """What is used of LeaseClient."""

    def poll(self, ready: bool) -> View: ...  # noqa: D102 - LeaseClient describes them all
    def renew(self, ready: bool, epoch: int) -> tuple[bool, View]: ...  # noqa: D102
    def acquire(self) -> Grant | None: ...  # noqa: D102
    def fence(self, epoch: int) -> int: ...  # noqa: D102
    def adopt(self, epoch: int) -> int: ...  # noqa: D102
    def release(self, epoch: int, reason: str) -> bool: ...  # noqa: D102
    def request(self, what: str, target: str | None, by: str) -> None: ...  # noqa: D102
    def foreign_locks(self, epoch: int) -> list[ForeignLock]: ...  # noqa: D102
    def end_session(self, lock: ForeignLock) -> bool: ...  # noqa: D102
    def fileno(self) -> int: ...  # noqa: D102
    def notified(self) -> bool: ...  # noqa: D102
    def abandon(self) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class Caller:
    """The loop's end. `fileno` is readable when there is something to take."""

    def __init__(self, make: Callable[[], Client]) -> None:
        self._make = make
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._answers: deque[tuple[_Worker, Answer | None, Grant | None]] = deque()
        self._abandoned: list[_Worker] = []
        self._worker: _Worker | None = None
        self.grant: Grant | None = None
        """Of the last acquisition that was answered."""

    def fileno(self) -> int:
        """For select(2)."""
        return self._event

    def send(self, call: Call) -> Answer | None:
        """Have it made. An answer comes at once only where no thread can be had."""
        for ended in [worker for worker in self._abandoned if not worker.is_alive()]:
            ended.forget()
            self._abandoned.remove(ended)
        if self._worker is None:
            if len(self._abandoned) >= MOST_STUCK:
                return Answer(call, trouble=Trouble.UNAVAILABLE, text="earlier calls still hang")
            self._worker = _Worker(self._make(), self._post)
            self._worker.start()
        self._worker.send(call)
        return None

    def abandon(self) -> None:
        """Give up the call under way, its connection and its thread."""
        if self._worker is not None:
            self._worker.drop()
            self._abandoned.append(self._worker)
            self._worker = None

    def take(self) -> tuple[Answer | None, bool]:
        """The answer that came, if one did, and whether the database notified."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._event)
        found: Answer | None = None
        notified = False
        while self._answers:
            worker, answer, grant = self._answers.popleft()
            if worker is not self._worker:
                continue
            if answer is None:
                notified = True
                continue
            found = answer
            if grant is not None:
                self.grant = grant
        return found, notified

    def _post(self, worker: _Worker, answer: Answer | None, grant: Grant | None) -> None:
        self._answers.append((worker, answer, grant))
        os.eventfd_write(self._event, 1)


class _Worker(threading.Thread):
    """One connection's thread. It waits for the next call and for notifications at the same time."""

    def __init__(self, client: Client, post: Callable[[_Worker, Answer | None, Grant | None], None]) -> None:
        super().__init__(name="lease", daemon=True)
        self._client = client
        self._post = post
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._call: Call | None = None
        self._dropped = False
        self._granted_here = False

    def send(self, call: Call) -> None:
        self._call = call
        os.eventfd_write(self._wake, 1)

    def drop(self) -> None:
        self._dropped = True
        self._client.abandon()
        os.eventfd_write(self._wake, 1)

    def forget(self) -> None:
        """Once it has ended. Not by the thread itself: `drop` may be about to write there."""
        os.close(self._wake)

    def run(self) -> None:
        try:
            while not self._dropped:
                self._wait()
                call, self._call = self._call, None
                if call is not None and not self._dropped:
                    answer, grant = self._make_call(call)
                    self._post(self, answer, grant)
        finally:
            self._client.close()

    def _wait(self) -> None:
        while self._call is None and not self._dropped:
            watched = select.poll()
            watched.register(self._wake, select.POLLIN)
            if (connection := self._client.fileno()) >= 0:
                watched.register(connection, select.POLLIN)
            ready = {descriptor for descriptor, _ in watched.poll()}
            if self._wake in ready:
                os.eventfd_read(self._wake)
            elif self._dropped:
                return
            else:
                self._listen()

    def _listen(self) -> None:
        try:
            if self._client.notified():
                self._post(self, None, None)
        except Exception:  # the connection ended: whoever calls next is told, unless it begins anew by itself
            self._granted_here = False
            self._client.close()

    def _make_call(self, call: Call) -> tuple[Answer, Grant | None]:
        if call.what in (What.FENCE, What.ADOPT) and not self._granted_here:
            # Over another connection this could be another copy of the database.
            return Answer(call, trouble=Trouble.UNAVAILABLE, text="the connection was lost"), None
        answer, grant = self._ask(call)
        if answer.trouble is Trouble.UNAVAILABLE:
            self._granted_here = False
        elif grant is not None:
            self._granted_here = True
        return answer, grant

    def _ask(self, call: Call) -> tuple[Answer, Grant | None]:
        try:
            return _carry_out(self._client, call)
        except EpochOverError as error:
            return Answer(call, trouble=Trouble.REFUSED, text=str(error)), None
        except AirkilnError as error:
            return Answer(call, trouble=Trouble.UNAVAILABLE, text=" ".join(str(error).split())), None
        except Exception as error:
            # Of a connection that was shut under it. Never the text: it may hold what was sent.
            return Answer(call, trouble=Trouble.UNAVAILABLE, text=type(error).__name__), None


def _carry_out(client: Client, call: Call) -> tuple[Answer, Grant | None]:
    answer, grant = Answer(call), None
    match call.what:
        case What.POLL:
            answer = Answer(call, view=client.poll(call.ready))
        case What.RENEW:
            good, view = client.renew(call.ready, call.epoch)
            answer = Answer(call, view=view, good=good)
        case What.ACQUIRE:
            grant = client.acquire()
            answer = Answer(call, number=grant.epoch if grant else None)
        case What.FENCE:
            answer = Answer(call, number=client.fence(call.epoch))
        case What.ADOPT:
            answer = Answer(call, number=client.adopt(call.epoch))
        case What.RELEASE:
            answer = Answer(call, good=client.release(call.epoch, call.reason))
        case What.DROP_REQUEST:
            client.request("cancel", None, call.reason or "the leader")
        case What.FOREIGN_LOCKS:
            answer = Answer(call, locks=tuple(_lock(found) for found in client.foreign_locks(call.epoch)))
        case What.END_SESSION:
            client.end_session(ForeignLock(call.pid, "", "", call.transaction, ""))
    return answer, grant


def _lock(found: ForeignLock) -> Lock:
    text = f"session {found.pid} of {found.user} ({found.details}) holds {found.held}"
    return Lock(found.pid, found.transaction, text)
