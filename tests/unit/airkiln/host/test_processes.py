"""What /proc says of processes: real ones, and numbers in a folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from airkiln.host import processes
from airkiln.host.processes import Stat


def test_the_state_of_a_running_and_at_a_stopped_process() -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        try:
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
            found = processes.stat(process.pid)
            assert found is not None
            assert found.state == "T"
        finally:
            process.kill()
    assert processes.stat(process.pid) is None


def test_ticks_are_user_and_system_time_and_a_name_may_hold_anything(tmp_path: Path) -> None:
    fields = [str(number) for number in range(4, 23)]  # proc(5) counts them from 1; 14 and 15 are the times
    fields[14 - 4], fields[15 - 4] = "120", "7"
    (tmp_path / "42").mkdir()
    (tmp_path / "42/stat").write_text(f"42 (S) 1 2) R {' '.join(fields)}\n")
    assert processes.stat(42, tmp_path) == Stat("R", 127, 22)


def test_this_very_process_has_used_time() -> None:
    found = processes.stat(os.getpid())
    assert found is not None
    used = os.times()
    assert found.ticks == pytest.approx((used.user + used.system) * os.sysconf("SC_CLK_TCK"), abs=50)


def test_the_main_threads_time_is_its_own() -> None:
    program = """
import threading, time
computes = threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True)
computes.start()
while time.process_time() < 0.5:
    time.sleep(0.05)
print(flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            main, whole = processes.main_thread(process.pid), processes.stat(process.pid)
            assert main is not None
            assert whole is not None
            assert main.started == whole.started
            assert main.ticks < 25
            assert whole.ticks > 40
        finally:
            process.kill()
    assert processes.main_thread(process.pid) is None


@pytest.mark.parametrize(("state", "ended"), [("R", False), ("T", False), ("Z", True), ("X", True)])
def test_a_zombie_has_ended(state: str, ended: bool) -> None:
    assert Stat(state, 0, 0).ended is ended


def test_the_control_groups_are_the_parts_of_the_path(tmp_path: Path) -> None:
    (tmp_path / "42").mkdir()
    (tmp_path / "42/cgroup").write_text("1:name=systemd:/old/path\n0::/system.slice/x.service/task\n")
    assert processes.control_groups(42, tmp_path)[-3:] == ["system.slice", "x.service", "task"]
    with pytest.raises(FileNotFoundError):
        processes.control_groups(43, tmp_path)
