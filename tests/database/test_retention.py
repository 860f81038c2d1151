"""What is old leaves PostgreSQL 17 in small batches, and nobody waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import LiteralString

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
    start_date timestamptz, end_date timestamptz, created_dag_version_id integer);
CREATE TABLE dag_version (id integer PRIMARY KEY, dag_id text, version_number integer,
    created_at timestamptz);
CREATE TABLE task_instance (run integer REFERENCES dag_run ON DELETE CASCADE,
    dag_version_id integer REFERENCES dag_version ON DELETE RESTRICT);
CREATE TABLE callback (id integer PRIMARY KEY, state text, created_at timestamptz);
CREATE TABLE deadline (callback_id integer REFERENCES callback ON DELETE CASCADE);
CREATE TABLE asset_partition_dag_run (id integer PRIMARY KEY);
CREATE TABLE partitioned_asset_key_log (id integer PRIMARY KEY, asset_partition_dag_run_id integer,
    created_at timestamptz);
CREATE TABLE connection_test_request (id integer PRIMARY KEY, state text, updated_at timestamptz);
CREATE TABLE celery_taskmeta (id serial PRIMARY KEY, date_done timestamp);
"""
ENDED = """
INSERT INTO retention.dag_run (dag_id, run_type, state, start_date, end_date)
SELECT %(dag)s, %(type)s, %(state)s, now() - make_interval(days => age), now() - make_interval(days => age)
  FROM unnest(%(ages)s::integer[]) age RETURNING id
"""
AGES = "WITH age AS (SELECT now() - interval '91 days' AS old, now() - interval '1 day' AS young) "


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


def left(plan: Plan, table: LiteralString = "dag_run") -> set[int]:
    with session(plan, "airflow") as owner:
        return {int(row[0]) for row in owner.execute(f"SELECT id FROM retention.{table}").fetchall()}


def insert(plan: Plan, rows: LiteralString) -> None:
    """Insert rows into this schema's tables; `old` in it is 91 days ago, `young` is yesterday."""
    with session(plan, "airflow") as owner:
        owner.execute("SET search_path = retention")
        owner.execute(AGES + rows)


def test_what_is_older_goes_and_the_rest_stays(plan: Plan, keywords: dict[str, str]) -> None:
    old, young = runs(plan, 91, 89)
    with session(plan, "airflow") as owner:
        owner.execute("INSERT INTO retention.task_instance (run) VALUES (%s), (%s)", [old, young])
        owner.execute("INSERT INTO retention.celery_taskmeta (date_done) VALUES (now() - interval '91 days')")
    deleted = retention.clean(keywords, 90)
    assert {table: rows for table, rows in deleted.items() if rows} == {"dag_run": 1, "celery_taskmeta": 1}
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


def test_a_version_goes_once_it_was_replaced_and_nothing_of_it_is_left(
    plan: Plan, keywords: dict[str, str]
) -> None:
    (run,) = runs(plan, 1)
    insert(
        plan,
        "INSERT INTO dag_version SELECT id, dag, number, CASE WHEN id < 7 THEN old ELSE young END FROM age, "
        "(VALUES (1, 'etl', 1), (2, 'etl', 2), (3, 'etl', 3), (4, 'etl', 4), "
        "(5, 'lone', 1), (6, 'changed', 1), (7, 'changed', 2)) version (id, dag, number)",
    )
    with session(plan, "airflow") as owner:
        owner.execute("INSERT INTO retention.task_instance VALUES (%s, 2)", [run])
        owner.execute("UPDATE retention.dag_run SET created_dag_version_id = 3 WHERE id = %s", [run])
    assert retention.clean(keywords, 90)["dag_version"] == 1
    assert left(plan, "dag_version") == {2, 3, 4, 5, 6, 7}


def test_a_row_on_which_something_unknown_depends_stays_and_the_journal_says_so(
    plan: Plan, keywords: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    insert(
        plan, "INSERT INTO dag_version SELECT id, 'etl', id, old FROM age, generate_series(1, 2) version (id)"
    )
    insert(plan, "INSERT INTO connection_test_request SELECT 1, 'failed', old FROM age")
    with session(plan, "airflow") as owner:
        owner.execute("CREATE TABLE retention.novelty AS SELECT 1 AS id")
        owner.execute("ALTER TABLE retention.novelty ADD FOREIGN KEY (id) REFERENCES retention.dag_version")
    assert retention.clean(keywords, 90)["connection_test_request"] == 1
    assert left(plan, "dag_version") == {1, 2}
    assert "event=kept table=dag_version reason=referred to by novelty" in capsys.readouterr().err


def test_a_callback_goes_when_it_has_ended_or_its_deadline_has_gone(
    plan: Plan, keywords: dict[str, str]
) -> None:
    insert(
        plan,
        "INSERT INTO callback SELECT id, state, CASE WHEN id < 8 THEN old ELSE young END FROM age, "
        "(VALUES (1, 'success'), (2, 'failed'), (3, NULL), (4, 'scheduled'), "
        "(5, 'scheduled'), (6, 'queued'), (7, 'running'), (8, 'success')) callback (id, state)",
    )
    insert(plan, "INSERT INTO deadline VALUES (1), (5)")
    assert retention.clean(keywords, 90)["callback"] == 4
    assert left(plan, "callback") == {5, 6, 7, 8}


def test_the_keys_of_a_pending_partition_stay(plan: Plan, keywords: dict[str, str]) -> None:
    insert(plan, "INSERT INTO asset_partition_dag_run VALUES (1)")
    insert(plan, "INSERT INTO partitioned_asset_key_log SELECT 1, 1, old FROM age")
    insert(plan, "INSERT INTO partitioned_asset_key_log SELECT 2, 7, old FROM age")
    insert(plan, "INSERT INTO partitioned_asset_key_log SELECT 3, 7, young FROM age")
    assert retention.clean(keywords, 90)["partitioned_asset_key_log"] == 1
    assert left(plan, "partitioned_asset_key_log") == {1, 3}


def test_what_is_left_of_a_connections_test_goes(plan: Plan, keywords: dict[str, str]) -> None:
    insert(
        plan,
        "INSERT INTO connection_test_request SELECT id, state, CASE WHEN id < 5 THEN old ELSE young END "
        "FROM age, (VALUES (1, 'success'), (2, 'failed'), (3, 'pending'), (4, 'running'), (5, 'success')) "
        "test (id, state)",
    )
    assert retention.clean(keywords, 90)["connection_test_request"] == 2
    assert left(plan, "connection_test_request") == {3, 4, 5}


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
