"""The process of ``airflow-dag-processor.service``: Airflow's DAG processor, where this host leads.

On a scheduler host of an active/standby pair it logs in as the role of the leader's epoch. The failover
controller starts it after the scheduler, which a takeover needs first: it then waits for `HEAD_START`, so
that the two do not compete for the processors. When a host boots, systemd starts both at once, before
anybody leads: it then loads Airflow, tells systemd that it is ready, and waits until the controller has
written the service entry of an epoch. On a host that finds another one leading, the controller stops it.

A host without a gate runs the DAG processor at once with its own connection, which is Airflow's own way.

Exit codes: 78 configuration refused; otherwise what Airflow's DAG processor ends with.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from airkiln_airflow import component, fenced, loading, readiness

USES = (
    "airflow.__main__",
    "airflow.cli.commands.dag_processor_command",
    "airflow.jobs.dag_processor_job_runner",
    "airflow.migrations.utils",
    "alembic.runtime.environment",
    "encodings.idna",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
)
"""What `airflow dag-processor` imports until its row is in the job table (`python -X importtime`). The bake
imports them, too."""
HEAD_START = 1.0
"""Seconds that the scheduler of a new leader has the processors to itself. The figures of
`make benchmark-failover` are measured with this pause."""
LOOK_EVERY = 0.05
"""Seconds between two looks for the service entry."""


def wait_for_leadership(entry: Path) -> None:
    """Load Airflow and wait, without a limit, until the service entry is there.

    :param entry: the file that the failover controller writes when this host leads.
    """
    if entry.exists():
        time.sleep(HEAD_START)
        return
    loading.load(USES)
    loading.settle()
    readiness.notify_ready("loaded, waits until this host leads")
    while not entry.exists():
        time.sleep(LOOK_EVERY)


def main() -> int:
    """Run as the unit's command, with the arguments of ``airflow dag-processor``."""
    component.shield()
    readiness.claim()
    try:
        gated = fenced.gate_of(os.environ) is not None
    except fenced.RefusedError as error:
        sys.stderr.write(f"refused: {error}\n")
        return fenced.REFUSED
    if gated:
        fenced.fence(os.environ)
        # The controller asks whether the server works for the scheduler, which has the same role.
        os.environ["PGAPPNAME"] = "airflow-dag-processor"
        wait_for_leadership(Path(fenced.SETTINGS["PGSERVICEFILE"]))
    component.become(["dag-processor", *sys.argv[1:]])
    return 0


if __name__ == "__main__":
    sys.exit(main())
