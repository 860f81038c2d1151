"""The process of a unit: no other process of its user looks into it, or into what it forks.

Each test starts a real process, because the kernel answers for a process as a whole.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.unit.airkiln_airflow.airflow_package import make_airflow

DUMPABLE = "ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)"
"""PR_GET_DUMPABLE: 1 lets other processes of the user in."""

MAIN = f"""
import ctypes, os, sys
def main():
    print(*sys.argv, {DUMPABLE}, flush=True)
    if os.fork() == 0:
        print("forked", {DUMPABLE}, flush=True)
        os._exit(0)
    os.wait()
"""


def run(folder: Path, *arguments: str) -> list[str]:
    command = [sys.executable, *arguments]
    environment = {"PYTHONPATH": str(folder)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_component_and_what_it_forks_are_closed_to_others(tmp_path: Path) -> None:
    make_airflow(tmp_path, MAIN)
    found = run(tmp_path, "-P", "-m", "airkiln_airflow.component", "triggerer", "-v")
    assert found == ["airflow triggerer -v 0", "forked 0"]


def test_without_it_they_would_be_open(tmp_path: Path) -> None:
    make_airflow(tmp_path, MAIN)
    found = run(tmp_path, "-c", "import sys; sys.argv = ['x']; from airflow.__main__ import main; main()")
    assert found == ["x 1", "forked 1"]
