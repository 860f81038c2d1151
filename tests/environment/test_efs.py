"""The file system of the data stack, as tasks use it."""

from __future__ import annotations

import pytest

from rehearsal.linux.machine import Machine
from tests.environment.deployed import Deployed
from tests.rehearsal.main_job import show

pytestmark = [pytest.mark.root, pytest.mark.image]

WORKER = "airflow-worker@1.service"
SHARED = "/srv/efs/shared"


def as_a_task(machine: Machine, script: str) -> str:
    """What a script prints in the mounts and as the user of a worker's tasks."""
    inside = ["nsenter", f"--target={show(machine, WORKER, 'MainPID')['MainPID']}", "--mount", "--"]
    user = ["setpriv", "--reuid=airflow", "--regid=airflow", "--clear-groups", "--"]
    return machine.execute([*inside, *user, "sh", "-ec", script]).stdout


def test_what_a_task_writes_another_host_reads(deployed: Deployed) -> None:
    worker, other = deployed.machine("worker"), deployed.machine("scheduler")
    worker.execute(["install", "--directory", "--owner=airflow", "--group=airflow", SHARED])
    as_a_task(worker, f"echo from a task > {SHARED}/note")
    assert other.execute(["cat", f"{SHARED}/note"]).stdout == "from a task\n"
    assert show(other, "srv-efs.mount", "ActiveState") == {"ActiveState": "active"}


def test_nothing_is_run_from_it(deployed: Deployed) -> None:
    script = f"cp /usr/bin/true {SHARED}/program; {SHARED}/program 2>&1 || true"
    assert "Permission denied" in as_a_task(deployed.machine("worker"), script)
