"""The Airflow plugin that reports a component as ready to systemd, shortens its journal in an outage, and
serves the web server's liveness.

The scheduler, the DAG processor and the triggerer each begin with a row in the ``job`` table and enter their
loop right after it. Airflow calls the ``on_starting`` listeners a little too early for that, while the job is
made in memory (airflow/jobs/job.py, ``Job.__init__``), so the listener waits for the row itself: once it is
inserted, the database was reached and its schema fits.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import ClassVar, Protocol

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin
from sqlalchemy import event

from airkiln_airflow import liveness, outage
from airkiln_airflow.fenced import EPOCH
from airkiln_airflow.readiness import notify_ready, notify_status


class _Job(Protocol):
    id: int
    job_type: str


@hookimpl
def on_starting(component: object) -> None:
    """Wait for the row of a component's job.

    Task runners call the same hook, with a marker that is not a row of a table; they are not units.
    """
    if getattr(type(component), "__tablename__", None) == "job":
        event.listen(type(component), "after_insert", _on_inserted)
        outage.install()


def _on_inserted(_mapper: object, _connection: object, job: _Job) -> None:
    status = f"{job.job_type} {job.id} runs"
    if epoch := os.environ.get(EPOCH):
        status += f", epoch {epoch}"
    # A scheduler that waited at its gate is ready already.
    if not notify_ready(status):
        notify_status(status)


class AirkilnPlugin(AirflowPlugin):
    """What Airkiln adds to a component of Airflow."""

    name = "airkiln"
    listeners: ClassVar[list[ModuleType]] = [sys.modules[__name__]]
    # A web server is not a job. What a task logs about a database of its own is left alone.
    fastapi_root_middlewares: ClassVar[list[dict[str, object]]] = [
        {"name": "airkiln short journal", "middleware": outage.ShortJournal, "args": [], "kwargs": {}},
        {"name": "airkiln liveness", "middleware": liveness.Liveness, "args": [], "kwargs": {}},
    ]
