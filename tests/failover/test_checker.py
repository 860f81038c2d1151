"""Tests the checker itself: where the fence was removed, it must find what an old scheduler writes.

Two clients of the lease take it in turn, and two psycopg sessions act as the schedulers. The old one does
what a scheduler does that was frozen: it continues to write over its session, and then over a new one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest

from airkiln.database import prepare as preparing
from airkiln.database.prepare import CONTROLLER, Plan
from airkiln.failover.config import Timings
from airkiln.failover.lease import Grant, LeaseClient
from rehearsal.aws import session
from rehearsal.aws.services.rds.postgres import Postgres
from rehearsal.chaos.checkers.statements import Report, check, parse
from rehearsal.chaos.instrumentation import StatementLog, log_every_statement
from rehearsal.linux.addresses import POSTGRES
from rehearsal.linux.network import Network
from tests.support.regions import CHECKER

pytestmark = pytest.mark.root

VARIABLES = {
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg://airflow:owner@{POSTGRES}/airflow?sslmode=require",
    preparing.ADMIN_PASSWORD: "administrator",
    preparing.WORKER_PASSWORD: "worker",
    preparing.CONTROLLER_PASSWORD: "controller",
}
TABLES = """
CREATE TABLE job (id serial PRIMARY KEY, job_type text, state text, latest_heartbeat timestamptz);
CREATE TABLE task_instance (id integer, state text);
CREATE TABLE dag_run (id integer);
CREATE TABLE import_error (id integer);
CREATE TABLE slot_pool (id integer);
CREATE TABLE alembic_version (version_num varchar(32));
"""
WRITE = "UPDATE task_instance SET state = 'queued'"
FENCE = {
    "acquire": (
        r"(EXECUTE format\('(ALTER ROLE %I NOLOGIN|REVOKE airflow FROM %I)'|PERFORM airkiln\.verify_fenced\()"
        r"[^;]*known\.rolname\);",
        "NULL;",
    ),
    "fence": (r"count\(pg_terminate_backend\(pid\)\)", "0 * count(pid)"),
}
"""What the fence is made of, by function: taken away for the broken build."""
PLACES = {"acquire": 3, "fence": 1}


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    session.down(CHECKER)
    try:
        session.start(CHECKER)
        postgres = Postgres(CHECKER)
        postgres.start()
        log_every_statement(postgres)
        postgres.create_administrator(preparing.DEFAULT_ADMIN, VARIABLES[preparing.ADMIN_PASSWORD])
        with Network(CHECKER).visit():
            yield postgres
    finally:
        session.down(CHECKER)


@pytest.fixture(scope="module")
def plan(server: Postgres) -> Plan:
    """The database as the database step leaves it."""
    plan = preparing.plan(VARIABLES)
    assert plan is not None
    preparing.prepare(plan)
    with psycopg.connect(**plan.target.keywords("airflow", "owner")) as owner:  # type: ignore[arg-type] # libpq's
        owner.execute(TABLES)
    preparing.grant(plan)
    assert server.machine.running()
    return plan


def taken(plan: Plan, host: str) -> tuple[LeaseClient, Grant]:
    """A takeover as a controller carries it out."""
    keywords = plan.target.keywords(CONTROLLER, plan.controller_password)
    client = LeaseClient(keywords, host, f"{host}/1", Timings())
    grant = client.acquire()
    assert grant is not None
    zeros = 0
    while zeros < 2:
        zeros = 0 if client.fence(grant.epoch) else zeros + 1
    client.adopt(grant.epoch)
    return client, grant


def connect(plan: Plan, grant: Grant) -> psycopg.Connection[tuple[object, ...]]:
    keywords = plan.target.keywords(grant.user, grant.password)
    return psycopg.connect(**keywords, autocommit=True)  # type: ignore[arg-type] # libpq's keywords


def report_on_a_scheduler_that_continues_to_write(server: Postgres, plan: Plan) -> Report:
    log = StatementLog(server)
    client, first = taken(plan, "one")
    frozen = connect(plan, first)
    frozen.execute(WRITE)
    client.release(first.epoch, "its host was frozen")
    client.close()
    client, second = taken(plan, "other")
    with connect(plan, second) as successor:
        successor.execute(WRITE)
    with suppress(psycopg.OperationalError):
        frozen.execute(WRITE)
    with suppress(psycopg.OperationalError), connect(plan, first) as again:
        again.execute(WRITE)
    client.release(second.epoch, "the test is over")
    client.close()
    return check(parse(log.new()))


def test_a_scheduler_that_was_fenced_writes_nothing(server: Postgres, plan: Plan) -> None:
    report = report_on_a_scheduler_that_continues_to_write(server, plan)
    assert report.findings == []
    assert len(report.fenced) == 2
    assert report.writes >= 2
    assert report.refused


def test_with_the_fence_removed_the_checker_finds_what_it_writes(server: Postgres, plan: Plan) -> None:
    remove_the_fence(server)
    report = report_on_a_scheduler_that_continues_to_write(server, plan)
    assert [(found.what, found.statement) for found in report.findings] == [
        ("write", WRITE),
        ("write", WRITE),
    ]


def remove_the_fence(server: Postgres) -> None:
    for name, (taken_away, instead) in FENCE.items():
        whole = server.sql(f"SELECT pg_get_functiondef('airkiln.{name}'::regproc)", "airflow")
        broken, count = re.subn(taken_away, instead, whole)
        assert count == PLACES[name], f"the fence in airkiln.{name} is not where it was"
        server.sql(broken + ";", "airflow")
