"""A lease whose way is barred: by a clock that went back, a person, or a lock on Airflow's tables."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg
import pytest

from airkiln.database.prepare import Plan
from airkiln.failover.lease import LeaseClient
from rehearsal.aws.services.rds.postgres import Postgres
from tests.database.support import LIMITS, expire, session, take
from tests.support.waiting import until

pytestmark = pytest.mark.root


def test_a_lease_that_ends_far_ahead_is_one_of_a_clock_that_went_back_and_is_taken(
    server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    one, other = client("one"), client("other")
    epoch = take(one).epoch
    server.sql("UPDATE airkiln.lease SET expires_at = expires_at + interval '10 min'", "airflow")
    assert other.poll(True).remaining <= 0
    assert take(other).epoch == epoch + 1


def test_its_holder_renews_a_lease_although_the_clock_went_back(
    server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    one, other = client("one"), client("other")
    epoch = take(one).epoch
    server.sql("UPDATE airkiln.lease SET expires_at = expires_at + interval '10 min'", "airflow")
    assert one.renew(True, epoch)[0]
    assert 0 < other.poll(True).remaining <= LIMITS.lease_ttl
    assert other.acquire() is None


def test_a_lease_is_freed_whoever_holds_it(client: Callable[[str], LeaseClient]) -> None:
    one, other = client("one"), client("other")
    epoch = take(one).epoch
    other.request("free", None, "a person")
    assert not one.renew(True, epoch)[0]
    assert take(other).epoch == epoch + 1


def test_while_paused_the_host_that_led_last_may_lead_again_and_no_other(
    server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    one, other = client("one"), client("other")
    epoch = take(one).epoch
    one.request("pause", None, "a person")
    expire(server)
    assert other.acquire() is None
    assert take(one).epoch == epoch + 1


def test_while_paused_no_session_is_ended(plan: Plan, client: Callable[[str], LeaseClient]) -> None:
    one = client("one")
    epoch = take(one).epoch
    one.request("pause", None, "a person")
    migration = session(plan, "airflow")
    migration.autocommit = False
    migration.execute("SELECT pg_advisory_xact_lock(2)")
    (found,) = one.blocking_locks(epoch)
    assert not one.end_session(epoch, found)
    assert migration.execute("SELECT 1").fetchone() == (1,)
    one.request("resume", None, "a person")
    assert one.end_session(epoch, found)


@pytest.mark.parametrize("waits", [False, True], ids=["held", "waited for"])
def test_a_lock_on_the_table_of_jobs_costs_no_renewal_and_is_named_and_ended(
    plan: Plan, server: Postgres, client: Callable[[str], LeaseClient], waits: bool
) -> None:
    one, other = client("one"), client("other")
    epoch = take(one).epoch
    reader = session(plan, "airflow")
    reader.autocommit = False
    migration = session(plan, "airflow")
    migration.autocommit = False
    with ThreadPoolExecutor(1) as pool:
        if waits:
            reader.execute("SELECT count(*) FROM job")
        asked = pool.submit(migration.execute, "LOCK TABLE job IN ACCESS EXCLUSIVE MODE")
        until(lambda: bool(one.blocking_locks(epoch)), lambda: "no lock shows", 10, every=0.02)
        assert one.renew(True, epoch)[0]
        assert other.poll(True).epoch == epoch
        assert one.progress(epoch).locked
        assert one.adopt(epoch) is None
        connection = one.fileno()
        (found,) = one.blocking_locks(epoch)
        assert (found.user, found.held) == ("airflow", "job")
        assert one.end_session(epoch, found)
        with suppress(psycopg.Error):
            asked.result()
    reader.close()
    until(lambda: not one.progress(epoch).locked, lambda: "still locked", 10, every=0.02)
    assert one.adopt(epoch) == 0
    assert one.fileno() == connection


def test_a_row_that_is_locked_keeps_no_host_from_leading(
    plan: Plan, server: Postgres, client: Callable[[str], LeaseClient]
) -> None:
    one = client("one")
    epoch = take(one).epoch
    server.sql("INSERT INTO job (job_type, state) VALUES ('SchedulerJob', 'running')", "airflow")
    with session(plan, "airflow") as foreign, foreign.transaction():
        foreign.execute("SELECT * FROM job FOR UPDATE")
        assert one.adopt(epoch) == 0
    assert one.adopt(epoch) == 1
