"""The process of ``airflow-scheduler.service``: Airflow's scheduler, loaded, waiting at a gate.

Loading Airflow takes seconds, and a standby that has done so takes over in a fraction of one. So every
scheduler host runs this process: it imports what a scheduler uses, opens no connection to the database, tells
the failover controller that it is warm, and waits. When the gate opens it goes on as ``airflow scheduler``
does, as the database role of that epoch.

A host without a gate (AIRKILN_GATE is not set, or the instance's role is ``all``) runs the scheduler at once
with its own connection, which is Airflow's own way.

Exit codes: 0 stopped, 1 failed, 78 configuration refused; otherwise what Airflow's scheduler ends with.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import NoReturn

from airkiln_airflow import component, fenced, gate, loading, readiness

FAILED = 1

SCHEDULER_USES = (
    "airflow.__main__",
    "airflow.api_fastapi.auth.tokens",
    "airflow.callbacks.database_callback_sink",
    "airflow.cli.commands.scheduler_command",
    "airflow.executors.workloads",
    "airflow.jobs.scheduler_job_runner",
    "airflow.migrations.utils",
    "airflow.providers.celery.executors.celery_executor_utils",
    "airflow.serialization.definitions.mappedoperator",
    "airflow.serialization.serialized_objects",
    "airflow.utils.serve_logs",
    "alembic.runtime.environment",
    "celery.app.routes",
    "celery.backends.database",
    "celery.events.dispatcher",
    "celery.events.receiver",
    "celery.loaders.app",
    "celery.result",
    "encodings.idna",
    "psycopg",
    "redis.client",
    "sqlalchemy.dialects.postgresql.psycopg",
)
"""What `airflow scheduler` imports on its way to the first loop, and what that loop imports when it first
queues and sends a task: `python -X importtime` shows what comes after "the gate is open". The bake imports
them, too."""

_SHORTEST_FAILURE = 10.0
"""Seconds that a start which fails lasts at least. systemd starts this unit again 100 ms after it ends, so
that a host is warm again soon after a takeover; a start that cannot succeed must not fill the journal."""


def preload() -> Callable[[], None]:
    """Import what the scheduler uses and make what needs no database; raises whatever an import raises.

    :return: what runs ``airflow scheduler``.
    """
    loading.load(SCHEDULER_USES)
    loader = resolve_name("airflow.executors.executor_loader:ExecutorLoader")
    for executor in loader.get_executor_names(validate_teams=False):
        loader.import_executor_cls(executor)
    broker = resolve_name("airflow.configuration:conf").get("celery", "broker_url", fallback="")
    resolve_name("kombu.transport:get_transport_cls")(broker.partition(":")[0] or None)
    sys.argv[:] = ["airflow", "scheduler"]
    loading.settle()
    run: Callable[[], None] = resolve_name("airflow.__main__:main")
    return run


def lead(path: Path, run: Callable[[], None]) -> None:
    """Wait at the gate, then run the scheduler until it ends or the controller does."""
    opened = gate.wait(path)
    gate.die_with(opened.connection)
    os.environ[fenced.EPOCH] = str(opened.epoch)
    _say(f"the gate is open: epoch {opened.epoch}")
    run()


def main() -> int:
    """Run as a unit's command."""
    started = time.monotonic()
    signal.signal(signal.SIGTERM, _stop)
    component.shield()
    readiness.claim()
    try:
        path = fenced.gate_of(os.environ)
    except fenced.RefusedError as error:
        _say(f"refused: {error}")
        _wait_out(started)
        return fenced.REFUSED
    try:
        if path is None:
            preload()()
            return 0
        fenced.fence(os.environ)
        run = preload()
    except Exception:
        _wait_out(started)
        raise
    readiness.notify_ready("warm, waiting at the gate")
    try:
        lead(path, run)
    except gate.GateError as error:
        _say(f"{error}: `systemctl restart airkiln-failover airflow-scheduler` has both of one release")
        _wait_out(started)
        return FAILED
    return 0


def _stop(_signal: int, _frame: object) -> NoReturn:
    """End at once: until the scheduler runs, which has a handler of its own, there is nothing to finish."""
    os._exit(0)


def _wait_out(started: float) -> None:
    time.sleep(max(0.0, _SHORTEST_FAILURE - (time.monotonic() - started)))


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
