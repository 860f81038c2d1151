"""Observes a cluster from outside: which scheduler leads, what is under way, which hosts are ready.

It runs in the region's network and queries the metadata database through a role of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg

from rehearsal.chaos.instrumentation import connect
from rehearsal.deployment.cluster import Cluster
from rehearsal.deployment.host import Host
from rehearsal.errors import RehearsalError
from rehearsal.waiting import ignoring, wait_until

Row = tuple[Any, ...]

_JOBS = """
SELECT id, hostname FROM job
WHERE job_type = 'SchedulerJob' AND state = 'running' ORDER BY id DESC
"""
_HEARTBEAT_AGE = """
SELECT extract(epoch FROM clock_timestamp() - latest_heartbeat)::float FROM job WHERE id = %s
"""
_UNFINISHED = """
SELECT (SELECT count(*) FROM dag_run WHERE state IN ('queued', 'running'))
     + (SELECT count(*) FROM task_instance WHERE state IN ('scheduled', 'queued', 'running', 'restarting'))
"""
_UNDER_WAY = """
SELECT (SELECT count(*) FROM task_instance
         WHERE dag_id = %s AND state IN ('scheduled', 'queued', 'running', 'restarting'))
     + (SELECT coalesce(sum(CASE jsonb_typeof(r.conf::jsonb -> 'seconds')
                            WHEN 'array' THEN jsonb_array_length(r.conf::jsonb -> 'seconds') ELSE 1 END), 0)
          FROM dag_run r
         WHERE r.dag_id = %s AND r.state IN ('queued', 'running')
           AND NOT EXISTS (SELECT FROM task_instance t
                            WHERE (t.dag_id, t.run_id) = (r.dag_id, r.run_id) AND t.task_id = 'step'
                              AND t.state IS NOT NULL))
"""
_STANDBYS = """
SELECT CASE WHEN l.expires_at < clock_timestamp() THEN -1 ELSE (
    SELECT count(*) FROM airkiln.host h
    WHERE h.ready AND h.seen_at > clock_timestamp() - interval '3 s' AND position(h.host IN l.holder) = 0
) END FROM airkiln.lease l
"""
_LEFT_BY = """
SELECT count(*) FROM task_instance
WHERE queued_by_job_id = %s AND state IN ('scheduled', 'queued', 'running', 'restarting')
"""
_RUNNING_ON = """
SELECT count(*) FROM task_instance WHERE state = 'running' AND hostname = %s AND task_id <> 'sizes'
"""
"""The task `sizes` ends within a second: a worker that runs nothing else has no workload."""


@dataclass(frozen=True)
class Leader:
    """A scheduler whose job runs: the job's id and the host."""

    job: int
    host: Host


class Observer:
    """Queries to one cluster's metadata database. A lost connection is opened again by the next query."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._connection: psycopg.Connection[Row] | None = None
        self.runs: list[str] = []
        """Ids of the runs that were started through this observer since the last check of tasks."""

    def rows(self, query: str, parameters: Collection[object] = ()) -> list[Row]:
        """The rows that a query returns. psycopg.Error if the database is away."""
        try:
            if self._connection is None:
                self._connection = connect()
            return self._connection.execute(query.encode(), tuple(parameters)).fetchall()
        except psycopg.Error:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
        self._connection = None

    def schedulers(self) -> list[Leader]:
        """The schedulers whose jobs run, newest first."""
        hosts = {host.address: host for host in self.cluster.schedulers}
        return [Leader(int(job), hosts[address]) for job, address in self.rows(_JOBS) if address in hosts]

    def leader(self) -> Leader:
        """The newest scheduler whose job runs. RehearsalError if there is none."""
        for found in self.schedulers():
            return found
        raise RehearsalError("No scheduler's job runs.")

    def standbys(self) -> int:
        """Number of hosts that are ready to take over from the lease's holder; -1 if nobody holds it."""
        return int(self.rows(_STANDBYS)[0][0])

    def leads_after(self, job: int) -> bool:
        """Whether a scheduler's job runs that is newer than this one."""
        return any(each.job > job for each in self.schedulers())

    def heartbeat_age(self, job: int) -> float:
        """Seconds since a scheduler's job wrote its heartbeat, by the clocks of the database and its host."""
        return float(self.rows(_HEARTBEAT_AGE, (job,))[0][0])

    def idle(self) -> bool:
        """Whether every run and every task instance has ended."""
        return int(self.rows(_UNFINISHED)[0][0]) == 0

    def under_way(self, dag: str) -> int:
        """Number of unfinished task instances of a DAG; a run without any yet counts as its conf asks for."""
        return int(self.rows(_UNDER_WAY, (dag, dag))[0][0])

    def left_by(self, job: int) -> int:
        """Number of unfinished task instances that belong to this scheduler's job."""
        return int(self.rows(_LEFT_BY, (job,))[0][0])

    def running_on(self, host: Host) -> int:
        """Number of the workload's task instances that run on a host."""
        return int(self.rows(_RUNNING_ON, (host.address,))[0][0])

    def start(self, dag: str, **conf: object) -> str:
        """Start a run and return its id. RehearsalError if the web server refuses or is away."""
        run = self.cluster.airflow.start(dag, dict(conf))
        self.runs.append(run)
        return run

    def wait_until(
        self, what: str, holds: Callable[[], bool], seconds: float, *, every: float = 0.1
    ) -> float:
        """`rehearsal.waiting.wait_until`, where a database that is away means "not yet"."""
        return wait_until(what, ignoring(psycopg.Error, holds), seconds, every=every)

    def wait_until_idle(self, seconds: float) -> None:
        """Wait until every run and every task instance has ended."""
        self.wait_until("every task has ended", self.idle, seconds)
