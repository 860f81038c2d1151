"""The lease in the metadata database, from a controller's side: one connection, one call at a time.

Every call is one statement, bounded by the server (`statement_timeout`); what bounds it on this side is
`abandon`, which another thread may call: it shuts the socket, and the blocked call returns with an error.
Nothing is tried again here, and after an error the connection is not used again: the next call opens one.

Who holds the lease, and until when, is the database's to say (src/airkiln/database/sql/functions.sql).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString

import psycopg
from psycopg import errors, sql
from psycopg.rows import dict_row

from airkiln.database import revision, schema
from airkiln.database.connect import explain
from airkiln.errors import AirkilnError, DeniedError, RefusedError, UnavailableError
from airkiln.failover.config import Timings
from airkiln.failover.model import Progress
from airkiln.systemd.journal import RateLimit

MISFIT_EVERY = 60.0
"""Seconds between two lines about a schema that does not fit."""
FITS_FOR = 30.0
"""Seconds between two looks of polls at a schema that fits. `acquire` always looks."""
Row = dict[str, Any]
_CHANNEL: LiteralString = "SELECT channel FROM airkiln.lease"
"""Whoever may log in can notify on a channel whose name it knows: only controllers can read this one's."""


class EpochOverError(AirkilnError):
    """The request belongs to an epoch that is over: another host leads."""


@dataclass(frozen=True)
class LeaseRow:
    """The lease as the database describes it. `remaining` (s) is at most 0 where it is free."""

    holder: str
    epoch: int
    seq: int
    remaining: float
    paused: bool
    switchover_to: str | None
    standbys: int


@dataclass(frozen=True)
class Grant:
    """An epoch that was granted, and the login of its scheduler."""

    epoch: int
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class BlockingSession:
    """Another session that holds a lock which the scheduler needs."""

    pid: int
    user: str
    held: str
    transaction: str
    details: str


class LeaseClient:
    """One controller's connection. Not for two threads, but for `abandon`.

    Every method raises UnavailableError (try again), EpochOverError, or RefusedError and DeniedError with a
    sentence for a person.
    """

    def __init__(
        self,
        keywords: Mapping[str, str],
        host: str,
        holder: str,
        timings: Timings,
        image: revision.Revisions | None = None,
    ) -> None:
        limit = f"{round(timings.call_timeout * 1000)}"
        self._keywords = {
            **keywords,
            "application_name": "airkiln-failover",
            "connect_timeout": str(max(1, round(timings.poll_timeout_max))),
            "options": f"-c statement_timeout={limit} -c lock_timeout={limit}",
            "tcp_user_timeout": limit,
            "keepalives_idle": "1",
            "keepalives_interval": "1",
            "keepalives_count": "2",
        }
        self._host, self._holder, self._ttl = host, holder, timings.lease_ttl
        self._fresh_for = timings.fresh_for
        self._image, self._misfits = image, RateLimit(MISFIT_EVERY)
        self._fits_until = 0.0
        self._connection: psycopg.Connection[Row] | None = None
        self._socket: socket.socket | None = None

    def poll(self, ready: bool) -> LeaseRow:
        """Report that this host is here and whether it could take over; read the lease.

        A scheduler that would end on the database's schema could not.
        """
        ready = ready and (time.monotonic() < self._fits_until or self._misfit() is None)
        return _view(self._one("SELECT * FROM airkiln.poll(%s, %s, %s)", self._host, ready, self._fresh_for))

    def renew(self, ready: bool, epoch: int) -> tuple[bool, LeaseRow]:
        """Renew the lease for another `lease_ttl`; False where it is no longer held."""
        row = self._one(
            "SELECT * FROM airkiln.renew(%s, %s, %s, %s, %s, %s)",
            self._host,
            ready,
            self._fresh_for,
            self._holder,
            epoch,
            self._ttl,
        )
        return bool(row["renewed"]), _view(row)

    def acquire(self) -> Grant | None:
        """Acquire the lease if it is free: a new epoch, and the login of its scheduler.

        RefusedError where that scheduler would end on the database's schema.
        """
        if misfit := self._misfit():
            raise RefusedError([misfit])
        password = secrets.token_urlsafe(32)
        # SCRAM salts with chance, not with the name: the verifier can be made before the epoch is known.
        verifier = self._open().pgconn.encrypt_password(password.encode(), b"", b"scram-sha-256").decode()
        epoch = self._value("SELECT airkiln.acquire(%s, %s, %s)", self._holder, self._ttl, verifier)
        return None if epoch is None else Grant(epoch, f"airflow_scheduler_{epoch}", password)

    def fence(self, epoch: int) -> int:
        """End the sessions of older epochs; returns how many were still there."""
        return int(self._value("SELECT airkiln.fence(%s, %s)", self._holder, epoch))

    def adopt(self, epoch: int) -> int | None:
        """Mark the older schedulers' jobs failed, so that their tasks are adopted at once; how many. None
        where somebody's lock on the table of jobs is in the way for now."""
        found = self._value("SELECT airkiln.adopt(%s, %s)", self._holder, epoch)
        return None if found is None else int(found)

    def progress(self, epoch: int) -> Progress:
        """What the database knows of this epoch's scheduler."""
        row = self._one("SELECT * FROM airkiln.progress(%s)", epoch)
        return Progress(row["heartbeat"], row["locked"], row["busy"])

    def release(self, epoch: int, reason: str) -> bool:
        """Release the lease and notify the standbys; False where it was not held."""
        return bool(self._value("SELECT airkiln.release(%s, %s, %s)", self._holder, epoch, reason))

    def request(self, what: str, target: str | None, by: str) -> None:
        """Request a 'switchover' (target: a host or '*'), 'cancel', 'pause', 'resume' or 'free'."""
        self._value("SELECT airkiln.request(%s, %s, %s)::text", what, target, by)

    def blocking_locks(self, epoch: int) -> list[BlockingSession]:
        """Other sessions that hold locks which this epoch's scheduler needs."""
        rows = self._all("SELECT * FROM airkiln.blocking_locks(%s)", epoch)
        return [
            BlockingSession(
                row["pid"], row["usename"] or "", row["held"], row["virtualtransaction"], row["details"]
            )
            for row in rows
        ]

    def end_session(self, epoch: int, session: BlockingSession) -> bool:
        """End that session, if it is still in that transaction and the failover is not paused."""
        statement: LiteralString = "SELECT airkiln.end_session(%s, %s, %s, %s)"
        return bool(self._value(statement, self._holder, epoch, session.pid, session.transaction))

    def fileno(self) -> int:
        """The connection's socket for select(2), readable when it may be notified; -1 without one."""
        return -1 if self._connection is None or self._connection.closed else self._connection.fileno()

    def notified(self) -> bool:
        """Whether another session released the lease, or requested something, since the last call. Never
        blocks."""
        if self._connection is None:
            return False
        try:
            found = list(self._connection.notifies(timeout=0))
            return any(each.pid != self._connection.info.backend_pid for each in found)
        except psycopg.Error as error:
            raise self._failed(error) from None

    def abandon(self) -> None:
        """Have a blocked call of another thread return with an error at once."""
        held = self._socket
        if held is not None:
            with contextlib.suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        held, self._socket = self._socket, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()
        if held is not None:
            held.close()

    def _misfit(self) -> str | None:
        """Why this image's scheduler would end on the database's schema; said now and then."""
        found = revision.misfit(self._open(), self._image)
        self._fits_until = 0.0 if found else time.monotonic() + FITS_FOR
        if found is not None:
            self._misfits.say("schema", f"event=schema-misfit reason={found}")
        return found

    def _open(self) -> psycopg.Connection[Row]:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        self.close()
        try:
            connection = psycopg.connect(
                **self._keywords,  # type: ignore[arg-type] # libpq's own keywords
                autocommit=True,
                row_factory=dict_row,
                prepare_threshold=None,
            )
            self._socket = socket.socket(fileno=os.dup(connection.fileno()))
            self._connection = connection
            found = connection.execute("SELECT version FROM airkiln.schema_version").fetchone()
            version = found["version"] if found else None
            if version == schema.VERSION and (row := connection.execute(_CHANNEL).fetchone()):
                connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(row["channel"])))
        except psycopg.Error as error:
            raise self._failed(error) from None
        if version != schema.VERSION:
            self.close()
            raise RefusedError(
                [
                    f"the schema airkiln in the database has version {version} and this release speaks "
                    f"{schema.VERSION}: run the database step of this release"
                ]
            )
        return connection

    def _one(self, statement: LiteralString, *values: object) -> Row:
        rows = self._all(statement, *values)
        if len(rows) != 1:
            self.close()
            raise RefusedError(
                ["the table airkiln.lease has no row: run `airkiln database prepare` in the database step"]
            )
        return rows[0]

    def _value(self, statement: LiteralString, *values: object) -> Any:  # noqa: ANN401 - of the statement's type
        return next(iter(self._one(statement, *values).values()))

    def _all(self, statement: LiteralString, *values: object) -> Sequence[Row]:
        connection = self._open()
        try:
            return connection.execute(statement, values).fetchall()
        except errors.DatabaseError as error:
            if error.sqlstate == "AK001":
                raise EpochOverError(str(error.diag.message_primary)) from None
            if error.sqlstate == "AK003":
                raise DeniedError(str(error.diag.message_primary)) from None
            raise self._failed(error) from None
        except psycopg.Error as error:
            raise self._failed(error) from None

    def _failed(self, error: psycopg.Error) -> AirkilnError:
        self.close()
        if isinstance(error, errors.UndefinedTable | errors.UndefinedFunction | errors.InvalidSchemaName):
            return RefusedError(
                [
                    f"the schema airkiln is not in the database, or not of this release "
                    f"({error.diag.message_primary}): run `airkiln database prepare` in the database step"
                ]
            )
        if isinstance(error, errors.QueryCanceled | errors.LockNotAvailable):
            return UnavailableError("the database did not reply within the call timeout")
        return explain(error, self._keywords)


def _view(row: Row) -> LeaseRow:
    return LeaseRow(**{name: row[name] for name in LeaseRow.__dataclass_fields__})
