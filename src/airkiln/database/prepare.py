"""`airkiln database prepare` and `grant`: the roles, the schema and the functions of the failover.

Both need the administrator's credentials, and no superuser: the administrator of an RDS instance has
CREATEROLE, CREATEDB and the right to pass pg_signal_backend on, and no more is used. Run again, or beside
itself, they change nothing. Passwords go to the server as SCRAM verifiers made here, never in clear.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.resources import files
from typing import LiteralString

import psycopg
from psycopg import errors, sql

from airkiln.database import controller
from airkiln.database.connect import Connection, connect, explain
from airkiln.database.schema import VERSION
from airkiln.database.target import Target, parse
from airkiln.errors import AirkilnError, DeniedError, RefusedError
from airkiln.roles import DATABASE
from airkiln.systemd.journal import NOTICE, say

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
        for role, attributes in {owner: "LOGIN", **_ATTRIBUTES}.items():
            _have_role(server, role, attributes)
        for role, password in (
            (owner, wanted.target.password),
            (CONTROLLER, wanted.controller_password),
            (WORKER, wanted.worker_password),
        ):
            _have_password(server, wanted, role, password)
        _have_memberships(server, owner, wanted.administrator)
        _have_database(server, wanted.target)
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
            connection.execute("SELECT pg_advisory_lock(%s)", (_TURN,))
            yield connection
        except psycopg.Error as error:
            raise _explained(error, keywords) from None


def _explained(error: psycopg.Error, keywords: Mapping[str, str]) -> AirkilnError:
    if isinstance(error, errors.InsufficientPrivilege):
        return DeniedError(
            f"the administrator {keywords['user']} lacks a right ({error.diag.message_primary}): it needs "
            "CREATEROLE, CREATEDB, pg_signal_backend WITH ADMIN OPTION, and ADMIN OPTION on roles that it "
            "did not make itself"
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
    seeing = "pg_read_all_stats"
    if server.execute("SELECT 1 WHERE pg_has_role(%s, 'MEMBER WITH ADMIN OPTION')", (seeing,)).fetchone():
        # Names the program and the address of a session that holds a lock; without it, its role alone. A
        # member that does not inherit the option may not use it.
        with suppress(errors.InsufficientPrivilege):
            _run(server, "GRANT {} TO {} WITH INHERIT TRUE, SET FALSE", seeing, FENCE)


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
