"""How a component of Airflow tells systemd that it is ready: over a real datagram socket."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airkiln_airflow import readiness
from airkiln_airflow.readiness import claim, notify_ready, notify_status


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that knows of no manager yet."""
    monkeypatch.setattr(readiness, "_manager", readiness._Manager())


@pytest.fixture(params=["a file", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """systemd's end of the line; its name is in the environment as systemd puts it there."""
    name = f"@airkiln-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0") if name.startswith("@") else name)
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield listening


def test_the_manager_is_told_once_with_the_status(manager: socket.socket) -> None:
    assert notify_ready("scheduler 1 läuft")
    assert manager.recv(4096).decode().splitlines() == ["READY=1", "STATUS=scheduler 1 läuft"]
    assert not notify_ready("again")
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(4096)


def test_no_child_can_speak_in_the_units_name(manager: socket.socket) -> None:
    notify_ready("runs")
    shown = [sys.executable, "-c", "import os; print(os.environ.get('NOTIFY_SOCKET'))"]
    assert subprocess.run(shown, check=True, capture_output=True, text=True).stdout == "None\n"
    assert manager.recv(4096)


def test_a_name_that_was_claimed_is_gone_before_readiness_is_told(manager: socket.socket) -> None:
    claim()
    assert "NOTIFY_SOCKET" not in os.environ
    assert notify_ready("runs")
    assert manager.recv(4096).startswith(b"READY=1\n")


def test_the_status_of_a_unit_that_is_ready_can_change(manager: socket.socket) -> None:
    assert not notify_status("too early")
    notify_ready("warm")
    assert manager.recv(4096) == b"READY=1\nSTATUS=warm"
    assert notify_status("runs, epoch 7")
    assert manager.recv(4096) == b"STATUS=runs, epoch 7"


def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify_ready("by hand")


def test_a_manager_that_is_gone_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    with pytest.raises(FileNotFoundError):
        notify_ready("runs")
