"""What a worker's login can do to everybody else: connections, locks, notifications, and code that stays."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg
import pytest
from psycopg import errors

from airkiln.database import prepare as preparing
from airkiln.database.budget import KEPT
from airkiln.database.prepare import Plan
from airkiln.failover.lease import LeaseClient
from rehearsal.aws.services.rds.postgres import Postgres
from tests.database.support import Session, session, take
from tests.support.waiting import until

pytestmark = pytest.mark.root


def test_a_schedulers_role_has_the_limit_that_the_budget_counts(
    server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    user = take(client("one")).user
    limit = server.sql(f"SELECT rolconnlimit FROM pg_roles WHERE rolname = '{user}'")
    assert limit == server.sql("SELECT scheduler_connections FROM airkiln.lease", "airflow")


def test_the_limits_of_all_roles_leave_room_for_the_controllers(plan: Plan, server: Postgres) -> None:
    assert plan
    limits = dict(
        line.split("|")
        for line in server.sql(
            "SELECT rolname, rolconnlimit FROM pg_roles WHERE rolname IN ('airflow', 'airflow_worker')"
        ).splitlines()
    )
    scheduler = int(server.sql("SELECT scheduler_connections FROM airkiln.lease", "airflow"))
    slots = int(server.sql("SHOW max_connections")) - int(server.sql("SHOW superuser_reserved_connections"))
    shared = int(limits["airflow"]) + int(limits["airflow_worker"]) + 2 * scheduler
    assert shared + KEPT <= slots - int(server.sql("SHOW reserved_connections"))
    assert min(int(limits["airflow"]), int(limits["airflow_worker"]), scheduler) >= 15


def test_a_flood_of_a_workers_logins_leaves_every_other_role_its_own(
    plan: Plan, client: Callable[[str], LeaseClient]
) -> None:
    flood: list[Session] = []
    try:
        with suppress(psycopg.OperationalError):
            while len(flood) < 200:
                flood.append(session(plan, preparing.WORKER))
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            session(plan, preparing.WORKER)
        session(plan, "airflow").close()
        grant = take(client("one"))
        session(plan, grant.user, grant.password).close()
        preparing.prepare(plan)
    finally:
        for each in flood:
            each.close()


def test_a_workers_session_begins_with_limits_whatever_code_on_a_worker_left_there(plan: Plan) -> None:
    with session(plan, preparing.WORKER) as worker:
        worker.execute("ALTER ROLE airflow_worker SET statement_timeout = 0")
        worker.execute("ALTER ROLE airflow_worker SET default_transaction_read_only = on")
    preparing.prepare(plan)
    with session(plan, preparing.WORKER) as worker:
        shown = [
            worker.execute(f"SHOW {name}").fetchone()
            for name in (
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
                "default_transaction_read_only",
            )
        ]
    assert shown == [("15s",), ("5s",), ("30s",), ("off",)]


def test_a_workers_lock_holds_up_no_preparation(plan: Plan) -> None:
    with session(plan, preparing.WORKER) as worker:
        worker.execute("SELECT pg_advisory_lock(%s)", (preparing._TURN,))
        preparing.prepare(plan)
        with pytest.raises(psycopg.OperationalError):
            worker.execute("SELECT 1")


def test_a_worker_that_holds_what_the_scheduler_needs_is_known_as_one(
    plan: Plan, client: Callable[[str], LeaseClient]
) -> None:
    one = client("one")
    grant = take(one)
    scheduler = session(plan, grant.user, grant.password)
    with session(plan, preparing.WORKER) as worker, ThreadPoolExecutor(1) as pool, worker.transaction():
        worker.execute("SELECT pg_advisory_xact_lock(2)")
        worker.execute("LOCK TABLE celery_taskmeta IN ACCESS EXCLUSIVE MODE")
        asked = pool.submit(scheduler.execute, "SELECT count(*) FROM celery_taskmeta")
        until(
            lambda: any("waits for" in each.held for each in one.blocking_locks(grant.epoch)),
            lambda: "the scheduler does not wait",
            10,
            every=0.02,
        )
        (found,) = one.blocking_locks(grant.epoch)
        assert (found.user, found.held) == (preparing.WORKER, "critical section, what it waits for")
        assert one.end_session(grant.epoch, found)
        asked.result()
        with pytest.raises(psycopg.OperationalError):
            worker.execute("SELECT 1")
    scheduler.close()


def test_no_code_in_the_database_is_airflows_to_replace(plan: Plan, server: Postgres) -> None:
    assert plan
    owned = "SELECT proname FROM pg_proc WHERE pg_has_role('airflow', proowner, 'USAGE')"
    assert server.sql(owned, "airflow") == ""
    trigger = "SELECT DISTINCT tgfoid::regproc FROM pg_trigger WHERE tgname = 'airkiln_empty_result'"
    assert server.sql(trigger, "airflow") == "airkiln_job.empty_result"


def test_what_a_scheduler_leaves_as_code_has_no_rights_after_its_fence(
    plan: Plan, server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    one = client("one")
    old = take(one)
    with session(plan, old.user, old.password) as scheduler:
        for schema in ("airkiln_job", "airkiln"):
            with pytest.raises(errors.InsufficientPrivilege):
                scheduler.execute(
                    f"CREATE OR REPLACE FUNCTION {schema}.empty_result() RETURNS trigger "
                    "LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN NEW; END'"
                )
        with pytest.raises(errors.InsufficientPrivilege):
            scheduler.execute("ALTER FUNCTION airkiln_job.empty_result() SECURITY DEFINER")
