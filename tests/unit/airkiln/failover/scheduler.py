"""A process that waits at the gate as the scheduler does: airkiln_airflow.gate in a Python of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from airkiln.roles import SCHEDULER_UNIT

PATIENCE = 10.0
"""Seconds after which a test gives up waiting: a limit, never what is measured."""
SOURCES = Path(__file__).parents[4] / "src"
PROGRAM = """
import signal, sys, threading, time
from pathlib import Path
from airkiln_airflow import gate

def compute(*_):
    threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()

signal.signal(signal.SIGUSR1, compute)  # a thread beside the main thread
opened = gate.wait(Path(sys.argv[1]))
gate.die_with(opened.connection)
print(opened.epoch, flush=True)
time.sleep(600)
"""
Start = Callable[[Path], "Scheduler"]


class Scheduler:
    """One such process."""

    def __init__(self, gate: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(gate)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SOURCES)},
        )
        self.pid = self.process.pid

    def epoch(self) -> int:
        """What it was let through with; waits for it."""
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def leads(self) -> None:
        """Waits until it was let through."""
        self.epoch()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        """Waits for its end; minus the signal's number that ended it."""
        return self.process.wait(PATIENCE)

    def remove(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def belongs(proc: Path, pid: int, unit: str = SCHEDULER_UNIT) -> None:
    """Have a process of `unit`, as a folder in place of /proc shows it."""
    (proc / str(pid)).mkdir(parents=True)
    (proc / str(pid) / "cgroup").write_text(f"0::/system.slice/{unit}\n")


def eventually(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until, "it never came to hold"
        time.sleep(0.005)
