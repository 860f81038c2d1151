"""The database session of a loop that never waits: a thread carries requests out, one at a time.

A request that exceeds its call timeout is abandoned together with its connection and its thread, which ends
by itself when the network lets go of it. The next request has new ones. An eventfd wakes the loop.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from airkiln.database.prepare import WORKER
from airkiln.errors import AirkilnError
from airkiln.failover.lease import BlockingSession, EpochOverError, Grant, LeaseRow
from airkiln.failover.model import BlockingLock, Failure, Operation, Progress, Reply, Request

MOST_ABANDONED = 8
"""Abandoned threads that may be left at a time, each for seconds: name resolution cannot be interrupted."""


class Client(Protocol):
    """The part of `LeaseClient` that is used here."""

    def poll(self, ready: bool) -> LeaseRow: ...  # noqa: D102 - LeaseClient describes them all
    def renew(self, ready: bool, epoch: int) -> tuple[bool, LeaseRow]: ...  # noqa: D102
    def acquire(self) -> Grant | None: ...  # noqa: D102
    def fence(self, epoch: int) -> int: ...  # noqa: D102
    def adopt(self, epoch: int) -> int | None: ...  # noqa: D102
    def progress(self, epoch: int) -> Progress: ...  # noqa: D102
    def release(self, epoch: int, reason: str) -> bool: ...  # noqa: D102
    def request(self, what: str, target: str | None, by: str) -> None: ...  # noqa: D102
    def blocking_locks(self, epoch: int) -> list[BlockingSession]: ...  # noqa: D102
    def end_session(self, epoch: int, session: BlockingSession) -> bool: ...  # noqa: D102
    def fileno(self) -> int: ...  # noqa: D102
    def notified(self) -> bool: ...  # noqa: D102
    def abandon(self) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class DatabaseSession:
    """The loop's side. `fileno` is readable when there is something to take.

    :param make: makes a client for each new thread.
    """

    def __init__(self, make: Callable[[], Client]) -> None:
        self._make = make
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._replies: deque[tuple[_SessionThread, Reply | None, Grant | None]] = deque()
        self._abandoned: list[_SessionThread] = []
        self._thread: _SessionThread | None = None
        self.grant: Grant | None = None
        """The last grant that was received."""

    def fileno(self) -> int:
        """The eventfd, for select(2)."""
        return self._event

    def send(self, request: Request) -> Reply | None:
        """Have a request carried out. Returns a reply at once only where no thread can be had."""
        for ended in [thread for thread in self._abandoned if not thread.is_alive()]:
            ended.close()
            self._abandoned.remove(ended)
        if self._thread is None:
            if len(self._abandoned) >= MOST_ABANDONED:
                return Reply(request, failure=Failure.UNAVAILABLE, text="earlier requests still hang")
            self._thread = _SessionThread(self._make(), self._post)
            self._thread.start()
        self._thread.send(request)
        return None

    def abandon(self) -> None:
        """Give up the request in flight, its connection and its thread."""
        if self._thread is not None:
            self._thread.abandon()
            self._abandoned.append(self._thread)
            self._thread = None

    def take(self) -> tuple[Reply | None, bool]:
        """The reply that came, if one did, and whether the database has notified."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._event)
        found: Reply | None = None
        notified = False
        while self._replies:
            thread, reply, grant = self._replies.popleft()
            if thread is not self._thread:
                continue
            if reply is None:
                notified = True
                continue
            found = reply
            if grant is not None:
                self.grant = grant
        return found, notified

    def _post(self, thread: _SessionThread, reply: Reply | None, grant: Grant | None) -> None:
        self._replies.append((thread, reply, grant))
        os.eventfd_write(self._event, 1)


class _SessionThread(threading.Thread):
    """The thread of one connection. It waits for the next request and for notifications at the same time."""

    def __init__(
        self, client: Client, post: Callable[[_SessionThread, Reply | None, Grant | None], None]
    ) -> None:
        super().__init__(name="lease", daemon=True)
        self._client = client
        self._post = post
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._request: Request | None = None
        self._given_up = False
        self._granted_here = False

    def send(self, request: Request) -> None:
        self._request = request
        os.eventfd_write(self._wake, 1)

    def abandon(self) -> None:
        self._given_up = True
        self._client.abandon()
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Close the eventfd. Not in the thread itself: `abandon` may be about to write to it."""
        os.close(self._wake)

    def run(self) -> None:
        try:
            while not self._given_up:
                self._wait()
                request, self._request = self._request, None
                if request is not None and not self._given_up:
                    reply, grant = self._carry_out(request)
                    # What came while the call waited was read with its result: nothing wakes `_wait` for it.
                    self._listen()
                    self._post(self, reply, grant)
        finally:
            self._client.close()

    def _wait(self) -> None:
        while self._request is None and not self._given_up:
            watched = select.poll()
            watched.register(self._wake, select.POLLIN)
            if (connection := self._client.fileno()) >= 0:
                watched.register(connection, select.POLLIN)
            ready = {descriptor for descriptor, _ in watched.poll()}
            if self._wake in ready:
                os.eventfd_read(self._wake)
            elif self._given_up:
                return
            else:
                self._listen()

    def _listen(self) -> None:
        try:
            if self._client.notified():
                self._post(self, None, None)
        except Exception:  # the connection ended: the next request opens another, or fails
            self._granted_here = False
            self._client.close()

    def _carry_out(self, request: Request) -> tuple[Reply, Grant | None]:
        if request.operation in (Operation.FENCE, Operation.ADOPT) and not self._granted_here:
            # Over another connection this could be another copy of the database.
            return Reply(request, failure=Failure.UNAVAILABLE, text="the connection was lost"), None
        reply, grant = self._try(request)
        if reply.failure is Failure.UNAVAILABLE:
            self._granted_here = False
        elif grant is not None:
            self._granted_here = True
        return reply, grant

    def _try(self, request: Request) -> tuple[Reply, Grant | None]:
        try:
            return _perform(self._client, request)
        except EpochOverError as error:
            return Reply(request, failure=Failure.REFUSED, text=str(error)), None
        except AirkilnError as error:
            text = " ".join(str(error).split())
        except Exception as error:
            # Such as of a connection that was shut down. Never the text: it may hold what was sent.
            text = type(error).__name__
        return Reply(request, failure=Failure.UNAVAILABLE, text=text), None


def _perform(client: Client, request: Request) -> tuple[Reply, Grant | None]:
    reply, grant = Reply(request), None
    match request.operation:
        case Operation.POLL:
            reply = Reply(request, view=client.poll(request.ready))
        case Operation.RENEW:
            done, view = client.renew(request.ready, request.epoch)
            reply = Reply(request, view=view, done=done)
        case Operation.ACQUIRE:
            grant = client.acquire()
            reply = Reply(request, number=grant.epoch if grant else None)
        case Operation.FENCE:
            reply = Reply(request, number=client.fence(request.epoch))
        case Operation.ADOPT:
            reply = Reply(request, number=client.adopt(request.epoch))
        case Operation.RELEASE:
            reply = Reply(request, done=client.release(request.epoch, request.reason))
        case Operation.CANCEL_SWITCHOVER:
            client.request("cancel", None, request.reason or "the leader")
        case Operation.BLOCKING_LOCKS:
            reply = Reply(request, locks=tuple(map(_lock, client.blocking_locks(request.epoch))))
        case Operation.END_SESSION:
            client.end_session(request.epoch, BlockingSession(request.pid, "", "", request.transaction, ""))
        case Operation.PROGRESS:
            reply = Reply(request, progress=client.progress(request.epoch))
    return reply, grant


def _lock(found: BlockingSession) -> BlockingLock:
    text = f"session {found.pid} of {found.user} ({found.details}) holds {found.held}"
    return BlockingLock(found.pid, found.transaction, text, at_once=found.user == WORKER)
