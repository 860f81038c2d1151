"""What runs while schedulers fail: tasks that leave a mark at their start and at their end, by themselves.

The marks go to a table that is the rehearsal's own, over a connection of its own, so that what ran, and how
often, is known from the tasks and not from Airflow. A run's conf says how many tasks it has beside each other
and how long each takes, in seconds: `{"tasks": 3, "seconds": 5}`, or of each its own, `{"seconds": [1, 60]}`.
"""

from __future__ import annotations

import os
import time

import psycopg
from airflow.sdk import dag, get_current_context, task

MARK = "INSERT INTO rehearsal.mark (run_id, task_id, map_index, try_number, what) VALUES (%s, %s, %s, %s, %s)"


ATTEMPTS = 900
"""A second apart: longer than any outage that is rehearsed."""


def leave_mark(what: str) -> None:
    """One row that says that this try of this task instance began or ended."""
    instance = get_current_context()["ti"]
    row = (instance.run_id, instance.task_id, instance.map_index, instance.try_number, what)
    for attempt in range(ATTEMPTS):
        try:
            with psycopg.connect(os.environ["AIRKILN_REHEARSAL_MARKS"], connect_timeout=5) as database:
                database.execute(MARK, row)
        except psycopg.OperationalError:  # the database may be what fails
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(1)
        else:
            return


def work(seconds: float) -> None:
    """Begin, wait, end."""
    leave_mark("start")
    time.sleep(seconds)
    leave_mark("end")


@dag(schedule=None, catchup=False, tags=["rehearsal"], max_active_runs=1000, max_active_tasks=1000)
def failover_load() -> None:
    """Tasks beside each other, as many and as long as the run's conf says."""

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
    """One task: there is always something for a scheduler to queue when a run of this has been asked for."""

    @task(retries=0)
    def probe() -> None:
        conf = get_current_context()["dag_run"].conf or {}
        work(float(conf.get("seconds", 0)))

    probe()


failover_load()
failover_probe()
