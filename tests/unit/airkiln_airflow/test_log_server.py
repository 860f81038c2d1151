"""The server of the logs of running tasks: its port is open while Airflow is still being imported."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airkiln_airflow import log_server
from tests.support.ports import free_port

SOURCES = Path(log_server.__file__).resolve().parents[1]
UVICORN = """
import pathlib, time
while not pathlib.Path({gate!r}).exists():
    time.sleep(0.01)
class Config:
    def __init__(self, app, **options): pass
class Server:
    def __init__(self, config): pass
    def run(self, sockets):
        connection, _ = sockets[0].accept()
        connection.sendall(b"served")
"""
"""It takes as long to import as the test wants."""
CONFIGURATION = """
class conf:
    @staticmethod
    def get(section, key, fallback): return fallback
"""


@pytest.fixture
def loading(tmp_path: Path) -> Iterator[tuple[int, socket.socket, Path]]:
    """The server's process, whose imports wait for a file: its port, systemd's socket, and that file."""
    gate, notify, port = tmp_path / "gate", str(tmp_path / "notify"), free_port()
    (tmp_path / "uvicorn.py").write_text(UVICORN.format(gate=str(gate)))
    (tmp_path / "airflow").mkdir()
    (tmp_path / "airflow/__init__.py").touch()
    (tmp_path / "airflow/configuration.py").write_text(CONFIGURATION)
    environment = {
        "PYTHONPATH": f"{tmp_path}:{SOURCES}",
        "PATH": os.environ["PATH"],
        "NOTIFY_SOCKET": notify,
        log_server.PORT: str(port),
    }
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(notify)
        manager.settimeout(60)
        command = [sys.executable, "-P", "-m", "airkiln_airflow.log_server"]
        process = subprocess.Popen(command, env=environment)
        try:
            yield port, manager, gate
        finally:
            process.kill()
            process.wait()


def test_a_request_is_accepted_while_the_server_loads_and_answered_when_it_has(
    loading: tuple[int, socket.socket, Path],
) -> None:
    port, manager, gate = loading
    assert manager.recv(4096).decode() == f"READY=1\nSTATUS=serving logs on port {port}"
    with socket.create_connection(("127.0.0.1", port), timeout=60) as request:
        gate.touch()
        assert request.recv(100) == b"served"


def test_without_the_setting_the_port_is_airflows_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(socket, "create_server", lambda address, **_: asked.append(address))
    log_server.listen({})
    assert asked == [("", 8793)]
