"""Faults of PostgreSQL: stopped, restarted, locked, slow to log in, sessions that end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from rehearsal.aws.services.rds.postgres import Postgres
from rehearsal.chaos.checkers.statements import moment
from rehearsal.chaos.faults.network import freeze
from rehearsal.chaos.instrumentation import StatementLog, observer_address
from rehearsal.deployment.cluster import Cluster
from rehearsal.deployment.host import Host
from rehearsal.deployment.parameters import database_address
from rehearsal.waiting import ignoring, wait_for, wait_until

UNIT = "postgresql@17-main.service"
SECTION_LOCK = 2
"""Airflow's advisory lock of the scheduler's critical section (airflow/utils/db.py, DBLocks)."""
FENCED_ROLES = "airflow\\_scheduler\\_%"
"""Matches, for SQL's LIKE, the roles of schedulers that a controller fences."""

_END_SESSIONS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE usename LIKE '{role}' AND client_addr = '{address}';
"""


@contextmanager
def stopped(postgres: Postgres) -> Iterator[None]:
    """Stop PostgreSQL for the time of the block; it is started, but not waited for, at the end."""
    postgres.machine.execute(["systemctl", "stop", UNIT])
    try:
        yield
    finally:
        postgres.machine.execute(["systemctl", "start", "--no-block", UNIT])


@contextmanager
def restart(cluster: Cluster, _: Host) -> Iterator[float]:
    """Restart PostgreSQL with two seconds in between; yields the moment of the first connection accepted."""
    with stopped(cluster.postgres):
        time.sleep(2)
    yield first_connection(30)


def first_connection(seconds: float) -> float:
    """Wait until the database accepts a connection; returns the moment on CLOCK_MONOTONIC."""

    def connected() -> float:
        with psycopg.connect(observer_address(), connect_timeout=2):
            return time.monotonic()

    what = "PostgreSQL accepts a connection"
    return wait_for(what, ignoring(psycopg.OperationalError, connected), seconds, every=0.01)


@contextmanager
def blocking_lock(_: Cluster, __: Host) -> Iterator[float]:
    """An idle transaction of another session holds the locks that a scheduler needs to queue anything."""
    session = psycopg.connect(database_address(), connect_timeout=5)
    try:
        session.execute("SELECT pg_advisory_xact_lock(%s)", (SECTION_LOCK,))
        session.execute("SELECT pool FROM slot_pool FOR UPDATE")
        yield time.monotonic()
    finally:
        with suppress(psycopg.Error):
            session.close()


@contextmanager
def slow_logins(postgres: Postgres, seconds: int) -> Iterator[None]:
    """Every login to PostgreSQL takes so many seconds longer."""

    _delay_logins(postgres, str(seconds))
    try:
        yield
    finally:
        usual_logins(postgres)


def usual_logins(postgres: Postgres) -> None:
    """End the delay of `slow_logins`, whoever began it."""
    _delay_logins(postgres, "DEFAULT")


def _delay_logins(postgres: Postgres, value: str) -> None:
    postgres.sql(f"ALTER SYSTEM SET pre_auth_delay = {value};\nSELECT pg_reload_conf();")


def end_sessions(postgres: Postgres, host: Host, role: str) -> None:
    """End the sessions that a host has as a role.

    :param role: a pattern for SQL's LIKE.
    """
    postgres.sql(_END_SESSIONS.format(address=host.address, role=role))


def freeze_in_login(postgres: Postgres, host: Host, role: str = FENCED_ROLES, seconds: float = 30) -> None:
    """End the sessions that a host has as a role, and freeze the host as soon as it connects again."""
    log = StatementLog(postgres)
    end_sessions(postgres, host, role)
    wait_until(
        f"{host.name} connects again",
        lambda: any(_received(record, host.address) for record in log.new()),
        seconds,
        every=0.001,
    )
    freeze(host)


def half_open_logins(records: Sequence[Mapping[str, Any]], address: str, at: float) -> int:
    """Count the logins from an address that had begun by then and not ended.

    :param records: PostgreSQL's log, as JSON objects.
    :param at: in seconds since 1970.
    """
    received: set[str] = set()
    for record in records:
        if moment(str(record["timestamp"])) > at:
            continue
        message, session = str(record.get("message", "")), str(record.get("session_id", ""))
        if _received(record, address):
            received.add(session)
        elif (
            message.startswith(("connection authorized:", "disconnection:"))
            or record.get("error_severity") == "FATAL"
        ):
            received.discard(session)
    return len(received)


def _received(record: Mapping[str, Any], address: str) -> bool:
    message = str(record.get("message", ""))
    return message.startswith("connection received:") and f"host={address} " in message
