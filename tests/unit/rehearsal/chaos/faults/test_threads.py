"""A process that imports the hook: what its main thread and the whole of it do after each signal."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import cast

import pytest

from airkiln.host.processes import main_thread, stat
from rehearsal.chaos.faults.threads import HANG, LOOP, handles, send
from rehearsal.chaos.instrumentation import HOOK
from rehearsal.deployment.cluster import Cluster
from rehearsal.deployment.host import Host
from rehearsal.errors import RehearsalError

CLUSTER = cast("Cluster", None)
SCHEDULER = "import time; print(flush=True); time.sleep(60)"


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def scheduler() -> Iterator[subprocess.Popen[bytes]]:
    """A Python that imports the hook as a scheduler's does, and waits."""
    command = [sys.executable, "-P", "-c", SCHEDULER]
    environment = os.environ | {"PYTHONPATH": str(HOOK.parent)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def host(process: subprocess.Popen[bytes]) -> Host:
    return cast(
        "Host",
        SimpleNamespace(name="i-1", main_process=lambda _: process.pid, processes=lambda _: [process.pid]),
    )


def ticks(pid: int, of: Callable[[int], object]) -> int:
    found = of(pid)
    assert found is not None
    return int(found.ticks)  # type: ignore[attr-defined]


def test_its_main_thread_hangs_while_another_computes(scheduler: subprocess.Popen[bytes]) -> None:
    pid = scheduler.pid
    with send(HANG)(CLUSTER, host(scheduler)):
        begun = ticks(pid, stat)
        until(lambda: ticks(pid, stat) > begun + 5)
        waits = ticks(pid, main_thread)
        computes = ticks(pid, stat)
        until(lambda: ticks(pid, stat) > computes + 10)
        assert ticks(pid, main_thread) - waits <= 1
    assert scheduler.wait(10) < 0


def test_its_main_thread_computes(scheduler: subprocess.Popen[bytes]) -> None:
    with send(LOOP)(CLUSTER, host(scheduler)):
        begun = ticks(scheduler.pid, main_thread)
        until(lambda: ticks(scheduler.pid, main_thread) > begun + 10)
    assert scheduler.wait(10) < 0


def test_a_scheduler_without_the_hook_is_left_alone() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        assert not handles(process.pid, HANG)
        with (
            pytest.raises(RehearsalError, match="has no handler for signal"),
            send(HANG)(CLUSTER, host(process)),
        ):
            pass
        assert process.poll() is None
        process.kill()
