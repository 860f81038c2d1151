"""What the autoscaling asks PostgreSQL 17: what it finds beside a million ended tasks, and by which plan."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, LiteralString

import pytest

from airkiln.autoscale.demand import LEASE, QUERY, SETTINGS, Counted, Database
from airkiln.database import prepare as preparing
from airkiln.database.connect import Connection, connect
from airkiln.database.prepare import Plan
from airkiln.errors import DeniedError
from airkiln.failover.lease import LeaseClient
from rehearsal.aws.services.rds.postgres import Postgres
from tests.database.support import expire, take
from tests.support.waiting import until

pytestmark = pytest.mark.root

FINISHED = 1_000_000

# Airflow 3.3.2's types of the columns that are read, its index, and as much beside them as a row of its has.
TABLE = """
ALTER TABLE task_instance
    ADD COLUMN IF NOT EXISTS queue varchar(256), ADD COLUMN IF NOT EXISTS executor varchar(1000),
    ADD COLUMN IF NOT EXISTS hostname varchar(1000), ADD COLUMN IF NOT EXISTS queued_dttm timestamptz,
    ADD COLUMN IF NOT EXISTS rest text;
ALTER TABLE task_instance ALTER COLUMN state TYPE varchar(20);
TRUNCATE task_instance;
CREATE INDEX IF NOT EXISTS ti_state ON task_instance (state);
"""
ROWS = f"""
INSERT INTO task_instance (id, state, queue, hostname, queued_dttm, rest)
SELECT n, (ARRAY['success', 'success', 'success', 'failed', 'skipped'])[1 + n % 5], 'default',
       '10.0.0.' || n % 50, now() - make_interval(secs => n), repeat('x', 400)
  FROM generate_series(1, {FINISHED}) n;
INSERT INTO task_instance (id, state, queue, executor, hostname, queued_dttm)
SELECT n, 'queued', 'default', NULL, '', now() - make_interval(secs => 1 + n % 90)
  FROM generate_series(1, 300) n
UNION ALL
SELECT n, 'running', 'batch', 'CeleryExecutor', '10.0.0.' || n % 5, now() - interval '1 hour'
  FROM generate_series(1, 200) n
UNION ALL
SELECT 1, 'restarting', 'batch', 'CeleryExecutor', '10.0.0.9', now();
"""


@pytest.fixture(scope="module")
def keywords(plan: Plan, server: Postgres) -> Iterator[dict[str, str]]:
    """The controller's login, to a database with a million tasks that have ended."""
    server.sql(TABLE, "airflow")
    server.sql(ROWS, "airflow")
    yield plan.target.keywords(preparing.CONTROLLER, plan.controller_password)
    server.sql("TRUNCATE task_instance", "airflow")


@pytest.fixture
def database(keywords: dict[str, str]) -> Iterator[Callable[..., Database]]:
    made: list[Database] = []

    def make(host: str = "a", *, locking: bool = False) -> Database:
        made.append(Database(keywords, host, locking=locking))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def session(keywords: dict[str, str]) -> Iterator[Connection]:
    with connect({**keywords, **SETTINGS}) as opened:
        yield opened


def test_what_is_queued_and_running_is_found(database: Callable[..., Database]) -> None:
    found = {(each.state, each.host): each for each in database().count()}
    queued = found.pop(("queued", None))
    assert (queued.queue, queued.executor, queued.count) == ("default", None, 300)
    assert 90 <= queued.oldest < 3600
    restarting = found.pop(("restarting", "10.0.0.9"))
    assert isinstance(restarting, Counted)
    assert restarting.count == 1
    assert {host: each.count for (_, host), each in found.items()} == {f"10.0.0.{n}": 40 for n in range(5)}


def explained(session: Connection, statement: LiteralString) -> dict[str, Any]:
    row = session.execute(statement).fetchone()
    assert row is not None
    found = row[0] if isinstance(row[0], list) else json.loads(row[0])
    return dict(found[0])


def scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "Relation Name" in plan or "Index Name" in plan:
        yield plan
    for child in plan.get("Plans", ()):
        yield from scans(child)


@pytest.mark.parametrize("statistics_there", [False, True])
def test_the_plan_uses_airflows_index_with_statistics_and_without(
    server: Postgres, session: Connection, statistics_there: bool
) -> None:
    clear = "DELETE FROM pg_statistic WHERE starelid = 'task_instance'::regclass"
    server.sql("ANALYZE task_instance" if statistics_there else clear, "airflow")
    used = list(scans(explained(session, f"EXPLAIN (FORMAT JSON) {QUERY}")["Plan"]))
    assert {each["Node Type"] for each in used} <= {"Index Scan", "Bitmap Heap Scan", "Bitmap Index Scan"}
    assert {each["Index Name"] for each in used if "Index Name" in each} == {"ti_state"}


@pytest.mark.parametrize("query", [QUERY, LEASE])
def test_no_question_is_compiled_for_its_answer_of_a_few_rows(
    session: Connection, query: LiteralString
) -> None:
    assert "JIT" not in explained(session, f"EXPLAIN (ANALYZE, FORMAT JSON) {query}")


def test_it_cannot_write(session: Connection) -> None:
    with pytest.raises(Exception, match="read-only transaction"):
        session.execute("SELECT airkiln.request('pause', NULL, 'a test')")


def test_a_table_that_it_may_not_read_is_a_right_that_is_missing(
    server: Postgres, database: Callable[..., Database]
) -> None:
    server.sql(f"REVOKE SELECT ON task_instance FROM {preparing.CONTROLLER}", "airflow")
    try:
        with pytest.raises(DeniedError, match="lacks a right"):
            database().count()
    finally:
        server.sql(f"GRANT SELECT ON task_instance TO {preparing.CONTROLLER}", "airflow")


def test_who_holds_the_lease_leads_until_it_ends(
    server: Postgres, client: Callable[[str], LeaseClient], database: Callable[..., Database]
) -> None:
    here, there = database("a"), database("b")
    assert not here.leads()
    take(client("a"))
    assert here.leads()
    assert not there.leads()
    expire(server)
    assert not here.leads()
    take(client("b"))
    assert (here.leads(), there.leads()) == (False, True)


def test_without_a_controller_one_of_two_decides_and_the_other_follows(
    server: Postgres, database: Callable[..., Database]
) -> None:
    first, second = database("a", locking=True), database("b", locking=True)
    assert (first.leads(), second.leads()) == (True, False)
    assert (first.leads(), second.leads()) == (True, False)
    server.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted", "airflow"
    )
    until(second.leads, "the follower decides", 5)
    with pytest.raises(Exception, match="no answer"):
        first.leads()
    assert not first.leads()
