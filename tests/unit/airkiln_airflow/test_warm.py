"""The process of the scheduler's unit, with the loading and the scheduler itself left out.

Each test starts a real process, because what it shows is how that process ends.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROCESS = """
import os, pathlib, sys, time
from airkiln_airflow import fenced, readiness, warm
fenced.gate_of.__defaults__ = (pathlib.Path(os.environ["INSTANCE"]),)
warm._SHORTEST_FAILURE = 0.0
def preload():
    loaded = os.environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "the owner's")
    print("loaded with", loaded, "NOTIFY_SOCKET" in os.environ, flush=True)
    if os.environ.get("BROKEN"):
        raise ImportError("no such module")
    return run
def run():
    print("runs in epoch", os.environ.get("AIRKILN_EPOCH"), flush=True)
    exec(os.environ.get("SCHEDULER", "time.sleep(60)"))
warm.preload = preload
sys.exit(warm.main())
"""


@dataclass
class Host:
    """A scheduler host's files, systemd's socket, and the processes that a test started on it."""

    folder: Path
    systemd: socket.socket
    gate: socket.socket
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *, gated: bool = True, **environment: str) -> subprocess.Popen[str]:
        given = {
            **os.environ,
            "INSTANCE": str(self.folder / "instance.json"),
            "NOTIFY_SOCKET": str(self.folder / "notify"),
            **({"AIRKILN_GATE": str(self.folder / "gate")} if gated else {}),
            **environment,
        }
        command = [sys.executable, "-c", PROCESS]
        process = subprocess.Popen(command, env=given, text=True, stdout=-1, stderr=subprocess.STDOUT)
        self.started.append(process)
        return process

    def listen(self) -> None:
        self.gate.bind(str(self.folder / "gate"))
        self.gate.listen()
        self.gate.settimeout(10)

    def accept(self) -> socket.socket:
        """The controller's end, once the process says that it is warm."""
        connection, _ = self.gate.accept()
        connection.settimeout(10)
        assert json.loads(connection.makefile("rb").readline()) == {"state": "warm"}
        return connection


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def opened(host: Host, scheduler: str = "time.sleep(60)") -> tuple[subprocess.Popen[str], socket.socket]:
    """A process that runs behind an open gate, and the controller's end of it."""
    host.listen()
    process = host.start(SCHEDULER=scheduler)
    connection = host.accept()
    connection.sendall(b'{"go": 7}\n')
    assert says(process).startswith("loaded")
    assert says(process) == "the gate is open: epoch 7\n"
    assert says(process) == "runs in epoch 7\n"
    return process, connection


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    (tmp_path / "instance.json").write_text('{"role": "scheduler"}')
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
        socket.socket(socket.AF_UNIX) as gate,
    ):
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(10)
        made = Host(tmp_path, systemd, gate)
        yield made
        for process in made.started:
            process.kill()
            process.communicate()


class TestWaiting:
    """Before the gate opens."""

    def test_it_loads_under_the_fence_and_hands_systemds_socket_to_nobody(self, host: Host) -> None:
        process = host.start()
        fence = "postgresql+psycopg://?service=airkiln_scheduler"
        assert says(process) == f"loaded with {fence} False\n"

    def test_no_other_process_of_its_user_looks_into_it(self, host: Host) -> None:
        asked = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), flush=True)"  # PR_GET_DUMPABLE
        process, connection = opened(host, asked)
        with connection:
            assert says(process) == "0\n"

    def test_systemd_hears_that_it_is_warm_and_the_gate_may_come_later(self, host: Host) -> None:
        host.start()
        assert b"READY=1\nSTATUS=warm" in host.systemd.recv(4096)
        host.listen()
        host.accept().close()

    def test_a_controller_that_starts_again_finds_it_warm_still(self, host: Host) -> None:
        host.listen()
        process = host.start()
        host.accept().close()
        with host.accept() as successor:
            successor.sendall(b'{"go": 8}\n')
            assert says(process).startswith("loaded")
            assert says(process) == "the gate is open: epoch 8\n"

    def test_a_controller_that_ends_right_after_it_opened_the_gate_is_followed(self, host: Host) -> None:
        host.listen()
        process = host.start()
        with host.accept() as dying:
            dying.sendall(b'{"go": 8}\n')
        # Whichever comes first: the kernel's signal, or the look whether the controller is still there.
        assert process.wait(10) in (1, -signal.SIGIO)

    def test_a_stop_ends_it_at_once_and_in_order(self, host: Host) -> None:
        process = host.start()
        host.systemd.recv(4096)
        process.terminate()
        assert process.wait(5) == 0

    @pytest.mark.parametrize("line", [b"{}\n", b'{"go": "7"}\n', b'{"go": 0}\n', b'{"go": true}\n', b"x\n"])
    def test_a_word_that_opens_no_gate_ends_it_unopened(self, host: Host, line: bytes) -> None:
        host.listen()
        process = host.start()
        host.accept().sendall(line)
        output, _ = process.communicate(timeout=10)
        assert process.returncode == 1
        assert "runs" not in output
        assert "of one release" in output

    def test_half_a_word_is_none(self, host: Host) -> None:
        host.listen()
        host.start()
        with host.accept() as half:
            half.sendall(b'{"go": 7}')
        host.accept().close()


class TestLeading:
    """Behind the open gate."""

    def test_the_end_of_the_controller_is_its_end(self, host: Host) -> None:
        process, connection = opened(host)
        connection.close()
        assert process.wait(5) == -signal.SIGIO

    def test_a_scheduler_that_is_busy_in_c_ends_with_the_controller_too(self, host: Host) -> None:
        # PyDLL keeps the interpreter's lock while it sleeps: no other Python code runs in that process.
        process, connection = opened(host, "import ctypes; ctypes.PyDLL(None).sleep(60)")
        time.sleep(0.2)
        connection.close()
        assert process.wait(5) == -signal.SIGIO

    def test_a_child_that_is_left_does_not_keep_the_controller_from_seeing_the_end(self, host: Host) -> None:
        process, connection = opened(
            host, "os.fork() or (os.closerange(1, 3), time.sleep(8), os._exit(0)); time.sleep(60)"
        )
        time.sleep(0.2)
        process.kill()
        connection.settimeout(4)
        assert connection.recv(1) == b""

    def test_it_ends_as_the_scheduler_does(self, host: Host) -> None:
        process, _connection = opened(host, "sys.exit(3)")
        assert process.wait(5) == 3

    def test_no_thread_runs_beside_the_scheduler(self, host: Host) -> None:
        process, _connection = opened(host)
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert "Threads:\t1\n" in status


class TestWithoutAGate:
    """Airflow's own way."""

    def test_it_runs_at_once_with_its_own_connection(self, host: Host) -> None:
        process = host.start(gated=False)
        assert says(process) == "loaded with the owner's False\n"
        assert says(process) == "runs in epoch None\n"

    def test_a_host_that_runs_everything_alone_does_so_too(self, host: Host) -> None:
        (host.folder / "instance.json").write_text('{"role": "all"}')
        process = host.start()
        assert says(process) == "loaded with the owner's False\n"

    def test_systemd_is_not_told_before_the_scheduler_is_there(self, host: Host) -> None:
        process = host.start(gated=False)
        says(process)
        says(process)
        host.systemd.setblocking(False)
        with pytest.raises(BlockingIOError):
            host.systemd.recv(4096)


def test_a_host_that_does_not_know_its_role_runs_no_scheduler(host: Host) -> None:
    (host.folder / "instance.json").unlink()
    process = host.start()
    output, _ = process.communicate(timeout=10)
    assert process.returncode == 78
    assert "loaded" not in output
    assert output.startswith("refused: ")


def test_a_start_that_fails_fails(host: Host) -> None:
    process = host.start(BROKEN="1")
    output, _ = process.communicate(timeout=10)
    assert process.returncode == 1
    assert "no such module" in output
