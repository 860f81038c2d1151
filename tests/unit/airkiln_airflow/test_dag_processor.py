"""The process of the DAG processor's unit, with the loading and the DAG processor itself left out.

Each test starts a real process. `airflow` is a package that shows what it was given.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.waiting import until
from tests.unit.airkiln_airflow.airflow_package import make_airflow

PROCESS = """
import os, pathlib, sys
sys.path.insert(0, os.environ["FOLDER"])
from airkiln_airflow import dag_processor, fenced, loading
folder = pathlib.Path(os.environ["FOLDER"])
fenced.gate_of.__defaults__ = (folder / "instance.json",)
fenced.SETTINGS = fenced.SETTINGS | {"PGSERVICEFILE": str(folder / "entry")}
loading.load = lambda names: print("loads", "airflow.jobs.dag_processor_job_runner" in names, flush=True)
loading.settle = lambda: None
dag_processor.time.sleep = lambda seconds, sleep=dag_processor.time.sleep: (
    print("waits", seconds, flush=True) if seconds == dag_processor.HEAD_START else sleep(seconds)
)
sys.exit(dag_processor.main())
"""
AIRFLOW = """
import os, sys
def main():
    connection = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    given = (*sys.argv, connection, os.environ.get("PGAPPNAME", "-"), "NOTIFY_SOCKET" in os.environ)
    print(*given, flush=True)
"""
FENCED = "airflow dag-processor postgresql+psycopg://?service=airkiln_scheduler airflow-dag-processor False\n"


@dataclass
class Host:
    """A host's files, systemd's socket, and the processes that a test started on it."""

    folder: Path
    systemd: socket.socket
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str, gated: bool = True) -> subprocess.Popen[str]:
        given = os.environ | {
            "FOLDER": str(self.folder),
            "NOTIFY_SOCKET": str(self.folder / "notify"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "owner's",
            "AIRKILN_GATE": str(self.folder / "gate") if gated else "",
        }
        command = [sys.executable, "-c", PROCESS, *arguments]
        process = subprocess.Popen(command, env=given, text=True, stdout=-1, stderr=subprocess.STDOUT)
        self.started.append(process)
        return process

    def leads(self) -> None:
        """What the failover controller writes when it opens the gate."""
        (self.folder / "entry").write_text("[airkiln_scheduler]")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    make_airflow(tmp_path, AIRFLOW)
    (tmp_path / "instance.json").write_text('{"role": "scheduler"}')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30)
        made = Host(tmp_path, systemd)
        yield made
        for process in made.started:
            process.kill()
            process.communicate()


def output(process: subprocess.Popen[str]) -> str:
    printed, _ = process.communicate(timeout=30)
    return printed


def test_on_a_host_that_boots_it_is_loaded_and_ready_before_the_host_leads(host: Host) -> None:
    process = host.start()
    assert b"READY=1\nSTATUS=loaded" in host.systemd.recv(4096)
    assert process.poll() is None
    host.leads()
    assert output(process) == f"loads True\n{FENCED}"


def test_on_a_host_that_leads_already_the_scheduler_is_given_a_head_start(host: Host) -> None:
    host.leads()
    assert output(host.start()) == f"waits 1.0\n{FENCED}"


def test_a_stop_ends_it_while_it_waits(host: Host) -> None:
    process = host.start()
    host.systemd.recv(4096)
    process.terminate()
    until(lambda: process.poll() is not None, "it has ended")
    assert process.poll() == -15


def test_elsewhere_it_runs_at_once_with_its_own_connection(host: Host) -> None:
    assert output(host.start("-v", gated=False)) == "airflow dag-processor -v owner's - False\n"


def test_a_host_that_does_not_know_its_role_runs_nothing(host: Host) -> None:
    (host.folder / "instance.json").unlink()
    refused = host.start()
    assert output(refused).startswith("refused: ")
    assert refused.returncode == 78
