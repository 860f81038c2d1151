"""What is old leaves PostgreSQL 17 in small batches, and nobody waits for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airkiln.database import retention
from airkiln.database.prepare import Plan
from rehearsal.aws.services.rds.postgres import Postgres
from tests.database.support import session

pytestmark = pytest.mark.root

# The columns that are read, as Airflow 3.3.2 and Celery 5.6 have them.
SCHEMA = """
DROP SCHEMA IF EXISTS retention CASCADE;
CREATE SCHEMA retention;
SET search_path = retention;
CREATE TABLE dag_run (id serial PRIMARY KEY, dag_id text, run_type text, state text,
    start_date timestamptz, end_date timestamptz);
CREATE TABLE task_instance (run integer REFERENCES dag_run ON DELETE CASCADE);
CREATE TABLE celery_taskmeta (id serial PRIMARY KEY, date_done timestamp);
"""
ENDED = """
INSERT INTO retention.dag_run (dag_id, run_type, state, start_date, end_date)
SELECT %(dag)s, %(type)s, %(state)s, now() - make_interval(days => age), now() - make_interval(days => age)
  FROM unnest(%(ages)s::integer[]) age RETURNING id
"""


@pytest.fixture
def keywords(plan: Plan, server: Postgres) -> Iterator[dict[str, str]]:
    """The owner's login, to a schema of these tests' own."""
    with session(plan, "airflow") as owner:
        owner.execute(SCHEMA)
    found = plan.target.keywords("airflow", plan.target.password)
    yield found | {"options": "-c search_path=retention"}
    with session(plan, "airflow") as owner:
        owner.execute("DROP SCHEMA retention CASCADE")
    assert server.machine.running()


def runs(
    plan: Plan, *ages: int, dag: str = "etl", kind: str = "scheduled", state: str = "success"
) -> list[int]:
    """DAG runs that ended so many days ago; returns their ids."""
    with session(plan, "airflow") as owner:
        given = {"dag": dag, "type": kind, "state": state, "ages": list(ages)}
        return [int(row[0]) for row in owner.execute(ENDED, given).fetchall()]


def left(plan: Plan) -> set[int]:
    with session(plan, "airflow") as owner:
        return {int(row[0]) for row in owner.execute("SELECT id FROM retention.dag_run").fetchall()}


def test_what_is_older_goes_and_the_rest_stays(plan: Plan, keywords: dict[str, str]) -> None:
    old, young = runs(plan, 91, 89)
    with session(plan, "airflow") as owner:
        owner.execute("INSERT INTO retention.task_instance VALUES (%s), (%s)", [old, young])
        owner.execute("INSERT INTO retention.celery_taskmeta (date_done) VALUES (now() - interval '91 days')")
    assert retention.clean(keywords, 90) == {"dag_run": 1, "celery_taskmeta": 1}
    with session(plan, "airflow") as owner:
        assert owner.execute("SELECT run FROM retention.task_instance").fetchall() == [(young,)]


def test_a_run_that_has_not_ended_stays_however_old_it_is(plan: Plan, keywords: dict[str, str]) -> None:
    going = runs(plan, 400, state="running")
    runs(plan, 1)
    retention.clean(keywords, 90)
    assert left(plan) >= set(going)


def test_the_run_from_which_the_next_one_follows_stays(plan: Plan, keywords: dict[str, str]) -> None:
    _, last = runs(plan, 400, 300)
    runs(plan, 200, kind="manual")
    retention.clean(keywords, 90)
    assert left(plan) == {last}


def test_many_rows_go_in_batches(plan: Plan, keywords: dict[str, str]) -> None:
    runs(plan, *range(100, 125), kind="manual")
    pauses: list[float] = []
    assert retention.clean(keywords, 90, wait=pauses.append, batch=10)["dag_run"] == 25
    assert pauses == [retention.PAUSE] * 2


def test_a_row_that_somebody_has_locked_is_left_for_the_next_time(
    plan: Plan, keywords: dict[str, str]
) -> None:
    locked, other = runs(plan, 100, 100, kind="manual")
    with session(plan, "airflow") as scheduler, scheduler.transaction():
        scheduler.execute("SELECT FROM retention.dag_run WHERE id = %s FOR UPDATE", [locked])
        assert retention.clean(keywords, 90)["dag_run"] == 1
        assert left(plan) == {locked}
    assert retention.clean(keywords, 90)["dag_run"] == 1
    assert other not in left(plan)


def test_nothing_of_it_stays_in_the_database(plan: Plan, keywords: dict[str, str]) -> None:
    runs(plan, 100, kind="manual")
    retention.clean(keywords, 90)
    with session(plan, "airflow") as owner:
        found = owner.execute("SELECT relname FROM pg_class WHERE relname LIKE '%%deleted%%'").fetchall()
    assert found == []
