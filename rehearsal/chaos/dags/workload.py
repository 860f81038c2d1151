"""The workload of experiments: tasks that write a mark of their own when they start and when they end.

The marks go to a table of the rehearsal over a separate connection, so that the tasks themselves tell what
ran, and how often, and not Airflow. The conf of a run says how many tasks run in parallel and how long each
takes, in seconds: `{"tasks": 3, "seconds": 5}`, or one length per task: `{"seconds": [1, 60]}`.
"""

from __future__ import annotations

import os
import time

import psycopg
from airflow.sdk import dag, get_current_context, task

MARK = "INSERT INTO rehearsal.mark (run_id, task_id, map_index, try_number, what) VALUES (%s, %s, %s, %s, %s)"


ATTEMPTS = 900
"""One per second: longer than any outage that is rehearsed."""


def leave_mark(what: str) -> None:
    """Insert one row: this try of this task instance began or ended."""
    instance = get_current_context()["ti"]
    row = (instance.run_id, instance.task_id, instance.map_index, instance.try_number, what)
    for attempt in range(ATTEMPTS):
        try:
            with psycopg.connect(os.environ["REHEARSAL_MARKS"], connect_timeout=5) as database:
                database.execute(MARK, row)
        except psycopg.OperationalError:  # the outage of the database may be the experiment
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(1)
        else:
            return


def work(seconds: float) -> None:
    """Mark the start, wait, mark the end."""
    leave_mark("start")
    time.sleep(seconds)
    leave_mark("end")


@dag(schedule=None, catchup=False, tags=["rehearsal"], max_active_runs=1000, max_active_tasks=1000)
def failover_workload() -> None:
    """Parallel tasks, as many and as long as the conf of the run says."""

    @task
    def sizes() -> list[float]:
        conf = get_current_context()["dag_run"].conf or {}
        seconds = conf.get("seconds", 5)
        return seconds if isinstance(seconds, list) else [float(seconds)] * int(conf.get("tasks", 1))

    @task(retries=0)
    def step(seconds: float) -> None:
        work(seconds)

    step.expand(seconds=sizes())


@dag(schedule=None, catchup=False, tags=["rehearsal"], max_active_runs=1000, max_active_tasks=1000)
def failover_probe() -> None:
    """One task, so that a scheduler has something to queue."""

    @task(retries=0)
    def probe() -> None:
        conf = get_current_context()["dag_run"].conf or {}
        work(float(conf.get("seconds", 0)))

    probe()


failover_workload()
failover_probe()
