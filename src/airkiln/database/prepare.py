"""`airkiln database prepare` and `grant`: the roles, the schema and the functions of the failover.

Both need the administrator's credentials, and no superuser: the administrator of an RDS instance has
CREATEROLE, CREATEDB and the right to pass pg_signal_backend and pg_monitor on, and no more is needed. Run
again, or beside itself, they change nothing. Passwords go to the server as SCRAM verifiers made here, never
in clear.

Roles belong to the server and the lease to a database, so a server has one environment: a comment on the role
airkiln_fence names its database.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from typing import LiteralString

import psycopg
from psycopg import errors, sql

from airkiln.database import budget, controller
from airkiln.database.connect import Connection, connect, explain
from airkiln.database.schema import VERSION
from airkiln.database.target import Target, parse
from airkiln.errors import AirkilnError, DeniedError, RefusedError, UnavailableError
from airkiln.roles import DATABASE
from airkiln.systemd.journal import NOTICE, WARNING, say

ADMIN_USER = "AIRKILN_ADMIN_DATABASE_USER"
ADMIN_PASSWORD = "AIRKILN_ADMIN_DATABASE_PASSWORD"  # noqa: S105 - a variable's name
WORKER_PASSWORD = "AIRKILN_ADMIN_WORKER_DATABASE_PASSWORD"  # noqa: S105 - a variable's name
CONTROLLER_PASSWORD = controller.PASSWORD
DEFAULT_ADMIN = "airkiln_administrator"
"""MasterUsername of cloudformation/data.yaml."""

OWNER = "airflow"
FENCE = "airkiln_fence"
JOB = "airkiln_job"
CONTROLLER = controller.USER
WORKER = "airflow_worker"
MAINTENANCE = "postgres"
"""The database that every server has, to make others from."""

_TURN = 0x41_4B_49_4C_4E
"""Key of the advisory lock under which one preparation at a time works ("AKILN")."""
_TURN_LIMIT = 120.0
"""Seconds to wait for another preparation."""
_TURN_POLL = 0.2

_WORKERS_LIMITS: Mapping[str, str] = {
    "statement_timeout": "15s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "30s",
}
"""Settings with which a worker's session begins: one that hangs lets go by itself. Code on a worker can
change them; what it then holds, the leader's controller ends."""

_ATTRIBUTES: Mapping[str, LiteralString] = {
    FENCE: "NOLOGIN CREATEROLE",
    JOB: "NOLOGIN",
    CONTROLLER: "LOGIN",
    WORKER: "LOGIN",
}


@dataclass(frozen=True)
class Plan:
    """What a preparation needs to know."""

    target: Target
    administrator: str
    administrator_password: str = field(repr=False)
    worker_password: str = field(repr=False)
    controller_password: str = field(repr=False)

    def as_administrator(self, database: str | None = None) -> dict[str, str]:
        """libpq's keywords for the administrator."""
        return self.target.keywords(self.administrator, self.administrator_password, database)


def plan(environment: Mapping[str, str]) -> Plan | None:
    """The plan of this environment, or None where no administrator's password is given.

    RefusedError names what is missing beside it.
    """
    password = environment.get(ADMIN_PASSWORD, "")
    if not password:
        return None
    missing = [name for name in (DATABASE, WORKER_PASSWORD, CONTROLLER_PASSWORD) if not environment.get(name)]
    if missing:
        raise RefusedError([f"{name}: missing: `airkiln database prepare` needs it" for name in missing])
    return Plan(
        target=parse(environment[DATABASE]),
        administrator=environment.get(ADMIN_USER) or DEFAULT_ADMIN,
        administrator_password=password,
        worker_password=environment[WORKER_PASSWORD],
        controller_password=environment[CONTROLLER_PASSWORD],
    )


def prepare(wanted: Plan) -> None:
    """Have the roles, the database, the schema and Celery's result tables. AirkilnError says what failed."""
    owner = wanted.target.user
    if owner != OWNER:
        raise RefusedError([f"{DATABASE}: its user is {owner}: the fence needs the owner to be {OWNER}"])
    with _turn(wanted, MAINTENANCE) as server:
        _refuse_second_environment(server, wanted.target)
        limits = _limits(server)
        for role, attributes in {owner: "LOGIN", **_ATTRIBUTES}.items():
            _have_role(server, role, attributes)
        for role, password in (
            (owner, wanted.target.password),
            (CONTROLLER, wanted.controller_password),
            (WORKER, wanted.worker_password),
        ):
            _have_password(server, wanted, role, password)
        _have_memberships(server, owner, wanted.administrator)
        _have_limits(server, limits)
        _have_database(server, wanted.target)
        _claim(server, wanted.target)
    with _turn(wanted, None) as database, database.transaction():
        _refuse_newer(database, wanted)
        _run(database, "REVOKE ALL ON DATABASE {} FROM PUBLIC", wanted.target.database, as_role=owner)
        for role in (FENCE, CONTROLLER, WORKER):
            grant: LiteralString = "GRANT CONNECT ON DATABASE {} TO {}"
            _run(database, grant, wanted.target.database, role, as_role=owner)
        _run(database, "CREATE SCHEMA IF NOT EXISTS airkiln AUTHORIZATION {}", FENCE)
        _run(database, "CREATE SCHEMA IF NOT EXISTS airkiln_job AUTHORIZATION {}", JOB)
        _run_file(database, "jobs.sql", as_role=JOB)
        _run_file(database, "functions.sql", as_role=FENCE)
        _run_file(database, "celery.sql", as_role=owner)
        _become(database, FENCE)
        database.execute("UPDATE airkiln.lease SET scheduler_connections = %s", (limits.scheduler,))
        database.execute("RESET ROLE")
    say(f"database {wanted.target.address}: prepared: roles, lease and result tables are there", NOTICE)


def grant(wanted: Plan) -> None:
    """Have the rights on Airflow's own tables. RefusedError before `airflow db migrate` has made them."""
    with _turn(wanted, None) as database, database.transaction():
        try:
            _run_file(database, "grants.sql", as_role=wanted.target.user)
        except errors.UndefinedTable:
            raise RefusedError(
                [
                    f"database {wanted.target.address}: Airflow's tables are not there: "
                    "run `airflow db migrate` first"
                ]
            ) from None
    say(f"database {wanted.target.address}: the failover may read Airflow's tables", NOTICE)


@contextmanager
def _turn(wanted: Plan, database: str | None) -> Iterator[Connection]:
    """A connection of the administrator, while no other preparation of this server works."""
    keywords = wanted.as_administrator(database)
    with connect(keywords) as connection:
        try:
            _take_turn(connection, wanted.target)
            yield connection
        except psycopg.Error as error:
            raise _explained(error, keywords) from None


def _take_turn(connection: Connection, target: Target) -> None:
    """Wait for other preparations. Anybody who may log in can take the lock: a worker's session is ended."""
    until = time.monotonic() + _TURN_LIMIT
    while True:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_TURN,)).fetchone()
        if row and row[0]:
            return
        ended = connection.execute(_END_WORKERS_TURN, (_TURN >> 32, _TURN & 0xFFFFFFFF, WORKER)).fetchall()
        if ended:
            say(
                f"database {target.address}: ended a session of {WORKER} that held up the preparation",
                WARNING,
            )
        if time.monotonic() > until:
            raise UnavailableError(
                f"database {target.address}: another session has held the lock of the preparation for "
                f"{_TURN_LIMIT:.0f} s: find it in pg_locks (advisory, objid {_TURN & 0xFFFFFFFF}), end it, "
                "and run this again"
            )
        time.sleep(_TURN_POLL)


_END_WORKERS_TURN = """
SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'advisory' AND l.granted AND l.classid = %s AND l.objid = %s AND a.usename = %s
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def _explained(error: psycopg.Error, keywords: Mapping[str, str]) -> AirkilnError:
    if isinstance(error, errors.InsufficientPrivilege):
        return DeniedError(
            f"the administrator {keywords['user']} lacks a right ({error.diag.message_primary}): it needs "
            "CREATEROLE, CREATEDB, pg_signal_backend and pg_monitor WITH ADMIN OPTION, and ADMIN OPTION on "
            "roles that it did not make itself"
        )
    return explain(error, keywords)


def _have_role(server: Connection, role: str, attributes: LiteralString) -> None:
    known = server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
    if not known:
        server.execute(sql.SQL("CREATE ROLE {} " + attributes).format(sql.Identifier(role)))


def _have_password(server: Connection, wanted: Plan, role: str, password: str) -> None:
    """Set a password, unless a login shows that it is set already."""
    with_it = wanted.target.keywords(role, password, MAINTENANCE)
    try:
        psycopg.connect(**with_it, connect_timeout=5).close()  # type: ignore[arg-type] # libpq's own keywords
    except psycopg.OperationalError:
        verifier = server.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
        server.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier))
        )


def _have_memberships(server: Connection, owner: str, administrator: str) -> None:
    for statement, role, member in (
        ("GRANT {} TO {} WITH INHERIT TRUE, SET TRUE", owner, administrator),
        ("GRANT {} TO {} WITH INHERIT TRUE, SET TRUE", FENCE, administrator),
        ("GRANT {} TO {} WITH INHERIT TRUE, SET TRUE", JOB, administrator),
        # Not a member of airflow in effect: it may make others members, and has no right of airflow itself.
        ("GRANT {} TO {} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE", owner, FENCE),
        ("GRANT {} TO {} WITH INHERIT TRUE, SET FALSE", "pg_signal_backend", FENCE),
    ):
        _run(server, statement, role, member)
    # Without it a long statement shows as no progress, and the controller would take its scheduler for stuck.
    # RDS's administrator may pass on pg_monitor, which contains it, and not pg_read_all_stats itself.
    sees = "SELECT pg_has_role(%s, 'pg_read_all_stats', 'USAGE')"
    if server.execute(sees, (FENCE,)).fetchone() != (True,):
        _run(server, "GRANT {} TO {} WITH INHERIT TRUE, SET FALSE", "pg_monitor", FENCE)
    # The last slots of a full server, where it keeps some and the administrator may give them.
    reserved = "pg_use_reserved_connections"
    if server.execute("SELECT pg_has_role(%s, 'USAGE WITH ADMIN OPTION')", (reserved,)).fetchone() == (True,):
        _run(server, "GRANT {} TO {} WITH INHERIT TRUE, SET FALSE", reserved, CONTROLLER)


def _limits(server: Connection) -> budget.Budget:
    """The connection budget of this server. RDS reserves slots in a setting that others do not have."""
    row = server.execute(
        """
        SELECT current_setting('max_connections')::integer,
               current_setting('superuser_reserved_connections')::integer
               + coalesce(current_setting('reserved_connections', true), '0')::integer
               + coalesce(current_setting('rds.rds_reserved_connections', true), '0')::integer
        """
    ).fetchone()
    found, reserved = row or (0, 0)
    return budget.share(found, reserved)


def _have_limits(server: Connection, limits: budget.Budget) -> None:
    with server.transaction():
        for role, connections in ((OWNER, limits.airflow), (WORKER, limits.worker)):
            server.execute(
                sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(
                    sql.Identifier(role), sql.Literal(connections)
                )
            )
        # A role may change its own settings: whatever code on a worker left there goes.
        _run(server, "ALTER ROLE {} RESET ALL", WORKER)
        for name, value in _WORKERS_LIMITS.items():
            server.execute(
                sql.SQL("ALTER ROLE {} SET {} = {}").format(
                    sql.Identifier(WORKER), sql.Identifier(name), sql.Literal(value)
                )
            )


_CLAIM = "the failover's functions; the environment of this server is in the database "


def _refuse_second_environment(server: Connection, target: Target) -> None:
    """One environment would set the passwords of the other's roles, and fence its scheduler."""
    row = server.execute(
        """
        SELECT d.datname FROM pg_database d JOIN pg_roles r ON r.rolname = %s
         WHERE shobj_description(r.oid, 'pg_authid') = %s || d.datname AND d.datname <> %s
        """,
        (FENCE, _CLAIM, target.database),
    ).fetchone()
    if row:
        raise RefusedError(
            [
                f"database {target.address}: this server has an environment already, in the database "
                f"{row[0]}, and roles belong to the whole server: give each environment a server of its own, "
                "or drop that database first"
            ]
        )


def _claim(server: Connection, target: Target) -> None:
    text = sql.Literal(f"{_CLAIM}{target.database}")
    server.execute(sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(FENCE), text))


def _have_database(server: Connection, target: Target) -> None:
    known = server.execute(
        "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", (target.database,)
    ).fetchone()
    if not known:
        _run(server, "CREATE DATABASE {} OWNER {}", target.database, target.user)
    elif known[0] != target.user:
        # RDS made it with the instance (DBName of cloudformation/data.yaml): it is the administrator's.
        _run(server, "ALTER DATABASE {} OWNER TO {}", target.database, target.user)


def _refuse_newer(database: Connection, wanted: Plan) -> None:
    """An older release would drop the functions that a newer one's controllers are calling."""
    known = database.execute("SELECT to_regclass('airkiln.schema_version') IS NOT NULL").fetchone()
    if not known or not known[0]:
        return
    found = database.execute("SELECT version FROM airkiln.schema_version").fetchone()
    if found and found[0] > VERSION:
        raise RefusedError(
            [
                f"database {wanted.target.address}: the schema airkiln has version {found[0]}, made by a "
                f"newer release; this one knows {VERSION} and changed nothing there: run the newer "
                "release's database step"
            ]
        )


def _run(connection: Connection, statement: LiteralString, *names: str, as_role: str | None = None) -> None:
    if as_role:
        _become(connection, as_role)
    connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
    if as_role:
        connection.execute("RESET ROLE")


def _run_file(connection: Connection, name: str, *, as_role: str) -> None:
    text = files("airkiln.database").joinpath("sql", name).read_text(encoding="utf-8")
    _become(connection, as_role)
    connection.execute(text.encode())
    connection.execute("RESET ROLE")


def _become(connection: Connection, role: str) -> None:
    connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
