"""What the tests of the database share: a plan of it, logins, and controllers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

from airkiln.database import prepare as preparing
from airkiln.database.prepare import Plan
from airkiln.failover.config import Timings
from airkiln.failover.lease import Grant, LeaseClient
from rehearsal.aws.services.rds.postgres import Postgres
from rehearsal.linux.addresses import POSTGRES

Session = psycopg.Connection[tuple[Any, ...]]
LIMITS = Timings(call_timeout=10.0, poll_timeout_max=10.0, lease_ttl=60.0)
"""These tests are of what is answered, not of how soon: no lease ends while a command starts on a busy
machine. `expire` ends one."""
AUTHORITY = Path("/dev/shm/airkiln-tests-database-authority.pem")
URL = (
    f"postgresql+psycopg://airflow:own%40er@{POSTGRES}/airflow"
    f"?sslmode=verify-full&sslrootcert={AUTHORITY}&require_auth=scram-sha-256"
)
VARIABLES = {
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": URL,
    preparing.ADMIN_PASSWORD: "the administrator's",
    preparing.WORKER_PASSWORD: "the worker's",
    preparing.CONTROLLER_PASSWORD: "the controller's",
}
AIRFLOWS_TABLES = """
CREATE TABLE IF NOT EXISTS job
    (id serial PRIMARY KEY, job_type text, state text, latest_heartbeat timestamptz);
CREATE TABLE IF NOT EXISTS task_instance (id integer, state text);
CREATE TABLE IF NOT EXISTS dag_run (id integer);
CREATE TABLE IF NOT EXISTS import_error (id integer);
CREATE TABLE IF NOT EXISTS slot_pool (id integer);
CREATE TABLE IF NOT EXISTS connection (password text);
CREATE TABLE IF NOT EXISTS alembic_version (version_num varchar(32) PRIMARY KEY);
"""
"""As much of Airflow's own tables as the failover touches, and one that nobody else may read."""


def the_plan(**changed: str) -> Plan:
    plan = preparing.plan({**VARIABLES, **changed})
    assert plan is not None
    return plan


def session(plan: Plan, user: str, password: str | None = None) -> Session:
    known = {
        "airflow": plan.target.password,
        preparing.WORKER: plan.worker_password,
        preparing.CONTROLLER: plan.controller_password,
    }
    return psycopg.connect(
        **plan.target.keywords(user, password or known[user]),  # type: ignore[arg-type] # libpq's keywords
        autocommit=True,
    )


def take(client: LeaseClient) -> Grant:
    grant = client.acquire()
    assert grant is not None
    return grant


def expire(server: Postgres) -> None:
    server.sql("UPDATE airkiln.lease SET expires_at = clock_timestamp()", "airflow")
