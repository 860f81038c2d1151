"""Faults of a leading scheduler host."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from airkiln.cli import run
from rehearsal.chaos.faults.schedulers import SWITCHOVER, kill
from rehearsal.deployment.cluster import Cluster
from rehearsal.deployment.host import Host

CLUSTER = cast("Cluster", None)


def state(process: subprocess.Popen[bytes]) -> str:
    """The state of a process: T if it is stopped."""
    return Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]


def host(process: subprocess.Popen[bytes]) -> Host:
    return cast("Host", SimpleNamespace(main_process=lambda _: process.pid))


def test_the_operators_command_for_a_switchover_exists() -> None:
    with pytest.raises(SystemExit) as ended:
        run(["failover", SWITCHOVER, "--help"])
    assert ended.value.code == 0


def test_a_process_that_was_stopped_continues_at_the_end() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            with kill("a.service", signal.SIGSTOP)(CLUSTER, host(process)):
                os.waitpid(process.pid, os.WUNTRACED)
                assert state(process) == "T"
            assert state(process) != "T"
        finally:
            process.kill()


def test_a_process_that_was_stopped_and_is_gone_by_the_end_is_no_error() -> None:
    process = subprocess.Popen(["sleep", "60"])
    with kill("a.service", signal.SIGSTOP)(CLUSTER, host(process)):
        process.kill()
        process.wait()
