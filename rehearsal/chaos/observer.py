"""Watches a cluster from outside: who leads, when the next task instance is queued, what became of each task.

It stands in the region's network, asks the metadata database every 10 ms by a role of its own, and reads one
clock only, this host's CLOCK_MONOTONIC.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg

from rehearsal.deployment.cluster import LOAD, PROBE, Cluster, Host
from rehearsal.errors import RehearsalError

POLL = 0.01
"""Seconds between two questions: how much too late a moment can be seen."""
PROBE_PAUSE = 0.05
NOBODY = -1
"""No scheduler's job: what was queued before the time counts for none."""
QUEUED_LIMIT = 30.0
"""Seconds that a task instance may stay queued after a takeover."""
Row = tuple[Any, ...]

_JOBS = """
SELECT id, hostname FROM job
WHERE job_type = 'SchedulerJob' AND state = 'running' ORDER BY id DESC
"""
_TAKEN = """
SELECT run_id, task_id, map_index, queued_dttm, queued_by_job_id FROM task_instance
WHERE run_id = ANY(%s) AND queued_by_job_id IS NOT NULL
  AND state IN ('queued', 'running', 'success')
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
_LATE = """
SELECT dag_id, run_id, task_id, map_index,
       extract(epoch FROM start_date - greatest(queued_dttm, to_timestamp(%s)))::float
FROM task_instance
WHERE run_id = ANY(%s) AND start_date - greatest(queued_dttm, to_timestamp(%s)) > %s * interval '1 s'
"""
_TASKS = """
SELECT t.run_id, t.task_id, t.map_index, t.state, t.try_number,
       count(m.*) FILTER (WHERE m.what = 'start'), count(m.*) FILTER (WHERE m.what = 'end')
FROM task_instance t
LEFT JOIN rehearsal.mark m ON (m.run_id, m.task_id, m.map_index) = (t.run_id, t.task_id, t.map_index)
WHERE t.run_id = ANY(%s)
GROUP BY 1, 2, 3, 4, 5
"""
UNMARKED = ("sizes",)
"""Tasks that leave no mark of their own."""


@dataclass(frozen=True)
class Leader:
    """The scheduler that leads: its job and its host."""

    job: int
    host: Host


class Observer:
    """Questions to one cluster. A lost connection is made again, a question that fails is asked again."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._connection: psycopg.Connection[Row] | None = None
        self.runs: list[str] = []
        """Ids of the runs that were started through this observer since the last verdict."""

    def rows(self, query: str, parameters: Collection[object] = ()) -> list[Row]:
        """The answer to a query; psycopg.Error if there is none now."""
        try:
            if self._connection is None:
                self._connection = self.cluster.observer()
            return self._connection.execute(query.encode(), tuple(parameters)).fetchall()
        except psycopg.Error:
            self.close()
            raise

    def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
        self._connection = None

    def schedulers(self) -> list[Leader]:
        """The schedulers whose jobs run, the newest first."""
        hosts = {host.address: host for host in self.cluster.schedulers}
        return [Leader(int(job), hosts[address]) for job, address in self.rows(_JOBS) if address in hosts]

    def leader(self) -> Leader:
        """The newest scheduler whose job runs."""
        for found in self.schedulers():
            return found
        raise RehearsalError("No scheduler's job runs.")

    def standbys(self) -> int:
        """Hosts that are ready to take over from the one that holds the lease; -1 if none holds it."""
        return int(self.rows(_STANDBYS)[0][0])

    def leads_after(self, job: int) -> bool:
        """Whether a scheduler's job runs that is newer than this one."""
        return any(each.job > job for each in self.schedulers())

    def heartbeat_age(self, job: int) -> float:
        """Seconds since a scheduler's job wrote its heartbeat, on the clocks of the database and its host."""
        age = "SELECT extract(epoch FROM clock_timestamp() - latest_heartbeat)::float FROM job WHERE id = %s"
        return float(self.rows(age, (job,))[0][0])

    def idle(self) -> bool:
        """Whether no run and no task instance is unfinished."""
        return int(self.rows(_UNFINISHED)[0][0]) == 0

    def under_way(self, dag: str) -> int:
        """Unfinished task instances of a DAG; of a run that has none yet, as many as were asked for."""
        return int(self.rows(_UNDER_WAY, (dag, dag))[0][0])

    def left_by(self, job: int) -> int:
        """Unfinished task instances that still belong to this scheduler."""
        return int(self.rows(_LEFT_BY, (job,))[0][0])

    def start(self, dag: str, **conf: float) -> str:
        """Ask for a run; RehearsalError if the web server refuses or is away."""
        run = self.cluster.airflow.start(dag, dict(conf))
        self.runs.append(run)
        return run

    @contextmanager
    def probing(self) -> Iterator[Callable[[float, Callable[[int], bool]], float]]:
        """Sees to it that there is always something to queue. Yields a function that waits until it is.

        The function takes the seconds to wait at most and which job counts, and returns the moment. Runs are
        asked for as soon as every earlier one has been taken by whoever led then. Task instances of the load
        count too, also those that are queued anew; one that is merely adopted keeps its time, and does not.
        """
        before = tuple(self.runs)
        takers: dict[Row, int] = {}
        asked: list[str] = []

        def look() -> bool:
            takers.update((tuple(queued), NOBODY) for *queued, _ in self.rows(_TAKEN, (list(before),)))
            return True

        self.wait_until("it is known what was queued before", look, 30)
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                if {run for run, *_ in list(takers)}.issuperset(asked):
                    with suppress(RehearsalError):
                        asked.append(self.start(PROBE))
                over.wait(PROBE_PAUSE)

        def wait(seconds: float, counts: Callable[[int], bool]) -> float:
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                with suppress(psycopg.Error):
                    for *queued, job in self.rows(_TAKEN, ([*before, *asked],)):
                        if takers.setdefault(tuple(queued), job) == job and counts(job):
                            return time.monotonic()
                time.sleep(POLL)
            raise RehearsalError(f"No task instance was queued within {seconds:g} s of the fault.")

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        try:
            yield wait
        finally:
            over.set()
            thread.join(30)

    def wait_until(self, what: str, holds: Callable[[], bool], seconds: float) -> None:
        """Ask every tenth of a second until it is so; a database that is away is no answer."""
        deadline = time.monotonic() + seconds
        while True:
            with suppress(psycopg.Error):
                if holds():
                    return
            if time.monotonic() > deadline:
                raise RehearsalError(f"Waited {seconds:g} s in vain until {what}.")
            time.sleep(0.1)

    def verdict(self, takeover: float) -> list[str]:
        """What became of the tasks since the last verdict that must not have; empty when all is well.

        :param takeover: when the successor had taken over, in seconds since 1970.
        """
        runs, self.runs = self.runs, []
        found = []
        tasks = self.rows(_TASKS, (runs,))
        known = {task[0] for task in tasks}
        found += [f"{run}: no task instance" for run in runs if run not in known]
        for run, task, index, state, tries, starts, ends in tasks:
            name = f"{run} {task}[{index}]"
            if state != "success":
                found.append(f"{name}: {state}")
            if tries != 1:
                found.append(f"{name}: try {tries}")
            if task not in UNMARKED and (starts, ends) != (1, 1):
                found.append(f"{name}: began {starts} times, ended {ends} times")
        late = self.rows(_LATE, (takeover, runs, takeover, QUEUED_LIMIT))
        found += [
            f"{run} {task}[{index}]: queued for {seconds:.1f} s" for _, run, task, index, seconds in late
        ]
        return found


def background(observer: Observer, *, tasks: int = 1, seconds: float = 4) -> str:
    """A run whose tasks are under way while a fault strikes."""
    return observer.start(LOAD, tasks=tasks, seconds=seconds)
