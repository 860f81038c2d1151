"""The autoscaling's query beside a million task instances that have ended, in Airflow's own table.

Part of `benchmarks.scaling`. The rows are inserted and rolled back in one transaction: no other session sees
them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg

from airkiln.autoscale.demand import QUERY
from rehearsal.deployment.parameters import database_address
from rehearsal.errors import RehearsalError

FINISHED, QUEUED, RUNNING = 1_000_000, 300, 200
ASKED = 200

# Copies of an existing task instance, so that every column and index is Airflow's.
_COPIES = """
INSERT INTO task_instance
SELECT made.*
FROM (SELECT task_instance AS whole FROM task_instance LIMIT 1) one,
     generate_series(1, %(count)s) n,
     jsonb_populate_record(one.whole, jsonb_build_object(
         'id', gen_random_uuid(), 'task_id', %(name)s || n, 'external_executor_id', NULL,
         'state', (%(states)s::text[])[1 + n %% cardinality(%(states)s::text[])],
         'hostname', '10.0.0.' || n %% 50, 'queued_dttm', now() - make_interval(secs => n))) made
"""
_LIKE_THE_DAEMON = (
    "SET LOCAL enable_seqscan = off",
    "SET LOCAL jit = off",
    "SET LOCAL statement_timeout = '5s'",
)


def query_seconds() -> list[float]:
    """Seconds of each of many queries. In the region's network; RehearsalError if the table is empty."""
    with psycopg.connect(database_address(), connect_timeout=5) as session:
        try:
            _fill(session)
            return list(_asked(session))
        finally:
            session.rollback()


def _fill(session: psycopg.Connection) -> None:
    if session.execute("SELECT 1 FROM task_instance LIMIT 1").fetchone() is None:
        raise RehearsalError("There is no task instance to copy: run a DAG first.")
    for name, states, count in (
        ("ended-", ["success", "success", "success", "failed", "skipped"], FINISHED),
        ("queued-", ["queued"], QUEUED),
        ("running-", ["running"], RUNNING),
    ):
        session.execute(_COPIES, {"name": name, "states": states, "count": count})
    session.execute("ANALYZE task_instance")


def _asked(session: psycopg.Connection) -> Iterator[float]:
    for statement in _LIKE_THE_DAEMON:
        session.execute(statement)
    for _ in range(ASKED):
        began = time.perf_counter()
        found = session.execute(QUERY, prepare=False).fetchall()
        yield time.perf_counter() - began
        if sum(row[4] for row in found) < QUEUED + RUNNING:
            raise RehearsalError("The query has not found what was queued and running.")
