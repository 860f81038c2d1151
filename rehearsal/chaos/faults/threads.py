"""A leader's scheduler whose main thread no longer loops, and so writes no heartbeat, while it computes.

The handlers are in `rehearsal/chaos/hooks`: with them a thread can hang by itself, which no signal of the
kernel does to one thread alone, and a debugger would show as a stopped process.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rehearsal.chaos.faults.schedulers import Inject
from rehearsal.deployment.cluster import Cluster
from rehearsal.deployment.host import SCHEDULER_UNIT, Host
from rehearsal.errors import RehearsalError

HANG = int(signal.SIGRTMIN)
"""The main thread waits without end, and another thread computes."""
LOOP = HANG + 1
"""The main thread computes without end."""


def send(number: int) -> Inject:
    """Send HANG or LOOP to the scheduler. One that still runs at the end is killed.

    RehearsalError if it has no handler, because the cluster was booted without the instrumentation.
    """

    @contextmanager
    def inject(_: Cluster, leader: Host) -> Iterator[float]:
        pid = leader.main_process(SCHEDULER_UNIT)
        if not handles(pid, number):
            raise RehearsalError(
                f"The scheduler of {leader.name} has no handler for signal {number}: boot another cluster "
                "with `boot_instrumented`."
            )
        at = time.monotonic()
        os.kill(pid, number)
        try:
            yield at
        finally:
            if pid in leader.processes(SCHEDULER_UNIT):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    return inject


def handles(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal, by SigCgt of proc_pid_status(5)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
