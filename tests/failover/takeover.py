"""A takeover by Airkiln's executor in Airflow's own environment: what `test_executor.py` runs and judges.

It finds a database that is migrated and knows `takeover_dag.py`, lets a scheduler die at the worst moments,
takes over as the scheduler's own code does, and prints what became of everything as one line of JSON.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from airflow.api.common.trigger_dag import trigger_dag
from airflow.jobs.job import Job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models.callback import ExecutorCallback
from airflow.models.dagrun import DagRun
from airflow.models.log import Log
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancehistory import TaskInstanceHistory
from airflow.models.taskreschedule import TaskReschedule
from airflow.sdk.definitions.callback import SyncCallback
from airflow.utils.session import create_session
from airflow.utils.types import DagRunTriggeredByType
from sqlalchemy import func, select, text

MARK = Path(__file__).with_name("hostile-code-ran")
"""What the hostile result makes in the process that loads it."""


class Hostile:
    """An object whose pickle runs a command where it is loaded."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {MARK}",)


@dataclass
class Left:
    """What a dead scheduler left behind."""

    run: str
    ids: dict[str, str] = field(default_factory=dict)
    celery_ids: dict[str, str] = field(default_factory=dict)
    callbacks: list[UUID] = field(default_factory=list)


def die() -> Left:
    """Leave what a scheduler leaves that queued everything and is dead."""
    now = datetime.now(UTC)
    left = Left(f"manual__{now:%Y-%m-%dT%H:%M:%S.%f}")
    trigger_dag(dag_id="takeover", triggered_by=DagRunTriggeredByType.TEST, run_id=left.run)
    with create_session() as session:
        dead = Job(job_type="SchedulerJob", state="failed")
        session.add(dead)
        session.flush()
        run = session.scalar(select(DagRun).where(DagRun.run_id == left.run))
        run.state, run.start_date = "running", now
        for ti in run.get_task_instances(session=session):
            left.ids[ti.task_id], left.celery_ids[ti.task_id] = str(ti.id), str(uuid4())
            ti.state = "running" if ti.task_id in ("runs", "ended") else "queued"
            ti.try_number, ti.max_tries, ti.queued_dttm, ti.queued_by_job_id = 1, 0, now, dead.id
            ti.external_executor_id = left.celery_ids[ti.task_id]
            if ti.task_id == "resumes":
                ti.next_method, ti.next_kwargs = "execute_complete", {"event": "come"}
            if ti.task_id == "waits":
                session.add(TaskReschedule(ti.id, now, now, now))
        for _ in range(2):
            definition = SyncCallback(print)
            callback = ExecutorCallback(definition, fetch_method="import_path", dag_run_id=run.id)
            callback.state = "queued"
            session.add(callback)
            session.flush()
            left.callbacks.append(callback.id)
    return left


def store_result(celery_id: str, status: str) -> None:
    """Write what a hostile worker writes, as Celery's database backend stores it."""
    with create_session() as session:
        statement = text(
            "INSERT INTO celery_taskmeta (id, task_id, status, result)"
            " VALUES (nextval('task_id_sequence'), :id, :status, :result)"
        )
        result = pickle.dumps(Hostile())
        session.execute(statement, {"id": celery_id, "status": status, "result": result})


def states(left: Left) -> dict[str, Any]:
    """What each task instance is now."""
    waits = select(func.count()).select_from(TaskReschedule)
    with create_session() as session:
        return {
            ti.task_id: {
                "state": ti.state,
                "try": ti.try_number,
                "same id": str(ti.id) == left.ids[ti.task_id],
                "celery id": ti.external_executor_id is not None,
                "next method": ti.next_method,
                "waits": session.scalar(waits.where(TaskReschedule.ti_id == ti.id)),
            }
            for ti in session.scalars(select(TaskInstance).where(TaskInstance.run_id == left.run))
        }


def main() -> None:
    """Die, take over, and say what became of it."""
    left = die()
    unsent, sent = left.callbacks
    runner = SchedulerJobRunner(job=Job())
    executor = runner.executor
    executor.celery_app.backend.ResultSession().close()  # Celery makes its tables, if they are not there yet
    store_result(left.celery_ids["ended"], "FAILURE")
    store_result(str(sent), "SUCCESS")
    runner.job.prepare_for_execution()
    executor.job_id = runner.job.id
    executor.start()
    runner.adopt_or_reset_orphaned_tasks()
    report: dict[str, Any] = {
        "taken over": states(left),
        "events": {
            getattr(key, "task_id", "sent callback" if str(key) == str(sent) else str(key)): str(state)
            for key, (state, _) in executor.event_buffer.items()
        },
        "adopted": sorted(key.task_id for key in executor.running if hasattr(key, "task_id")),
        "hostile code ran": MARK.exists(),
    }
    with create_session() as session:
        runner._do_scheduling(session)
    report["scheduled"] = states(left)
    with create_session() as session:
        logged = select(Log.task_id).where(Log.run_id == left.run, Log.event == "handed back")
        report["handed back"] = sorted(session.scalars(logged))
        report["history"] = session.scalar(select(func.count()).select_from(TaskInstanceHistory))
        report["unsent callback"] = session.get(ExecutorCallback, unsent).state
    sys.stdout.write("\n" + json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
