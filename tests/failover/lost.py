"""Messages that the broker has lost, in Airflow's own environment: what `test_executor.py` runs and judges.

It finds a database that is migrated and knows `takeover_dag.py`, queues its tasks by a scheduler that lives,
lets the broker count what it is told to, and prints what became of everything as one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from airflow.api.common.trigger_dag import trigger_dag
from airflow.jobs.job import Job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from airflow.utils.types import DagRunTriggeredByType
from sqlalchemy import select

from airkiln_airflow import lost_messages
from airkiln_airflow.lost_messages import LOOKS, Messages

LONG_AGO = timedelta(seconds=lost_messages.QUEUED_FOR + 60)


def queue(job: int) -> str:
    """Queue every task: `runs` runs, `resumes` was queued just now, the others long ago."""
    now = datetime.now(UTC)
    run_id = f"manual__{now:%Y-%m-%dT%H:%M:%S.%f}"
    trigger_dag(dag_id="takeover", triggered_by=DagRunTriggeredByType.TEST, run_id=run_id)
    with create_session() as session:
        run = session.scalar(select(DagRun).where(DagRun.run_id == run_id))
        run.state, run.start_date = "running", now
        for ti in run.get_task_instances(session=session):
            ti.state = "running" if ti.task_id == "runs" else "queued"
            ti.try_number, ti.queued_by_job_id, ti.external_executor_id = 1, job, str(uuid4())
            ti.queued_dttm = now if ti.task_id == "resumes" else now - LONG_AGO
    return run_id


def main() -> None:
    """Queue, look often enough with a message in the broker, then without one."""
    runner = SchedulerJobRunner(job=Job())
    executor = runner.executor
    runner.job.prepare_for_execution()
    executor.job_id = runner.job.id
    executor.start()
    run_id = queue(runner.job.id)
    with create_session() as session:
        mine = {
            ti.task_id: ti
            for ti in session.scalars(select(TaskInstance).where(TaskInstance.run_id == run_id))
        }
        ids = {name: str(ti.id) for name, ti in mine.items()}
        keys = {name: ti.key for name, ti in mine.items()}
        queues = {ti.queue for ti in mine.values()}
    executor.running |= set(keys.values())
    executor.queued_tasks[keys["waits"]] = SimpleNamespace()  # not sent yet: no slot was free

    def look(messages: Messages, times: int) -> list[str]:
        """What is handed back after some looks."""
        lost_messages.count = lambda *_: dict.fromkeys(queues, messages)
        for _ in range(times):
            executor._look_at = 0.0
            executor.sync()
            while executor._counting is not None:
                executor.sync()
                time.sleep(0.01)
        with create_session() as session:
            found = session.scalars(select(TaskInstance).where(TaskInstance.run_id == run_id)).all()
            return sorted(
                ti.task_id for ti in found if ti.state == "scheduled" and str(ti.id) != ids[ti.task_id]
            )

    report: dict[str, Any] = {
        "while one waits": look(Messages(1, 1), 2 * LOOKS),
        "while one was received": look(Messages(0, 2), 2 * LOOKS),
        "after few looks": look(Messages(0, 1), LOOKS - 1),
        "after enough looks": look(Messages(0, 1), 1),
    }
    report["still followed"] = sorted(name for name, key in keys.items() if key in executor.running)
    with create_session() as session:
        found = session.scalars(select(TaskInstance).where(TaskInstance.run_id == run_id)).all()
        report["tries"] = sorted({ti.try_number for ti in found})
    sys.stdout.write("\n" + json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
