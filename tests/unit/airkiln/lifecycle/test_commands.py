"""`airkiln lifecycle`: what a person sees and asks for."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import pytest

from airkiln.cli import run as airkiln
from airkiln.errors import AirkilnError, RefusedError
from airkiln.host.layout import Layout
from airkiln.lifecycle import airflow_api, commands
from airkiln.lifecycle.airflow_api import Login, base_url, login
from airkiln.lifecycle.model import Stage, Unit
from airkiln.lifecycle.runtime import RuntimeDirectory
from airkiln.lifecycle.units import TIMEOUT, Units
from airkiln.roles import EXECUTION_API


class Machine:
    """systemd in a list, for every Units and systemctl of the commands."""

    def __init__(self, root: Path) -> None:
        self.directory = RuntimeDirectory(root / "run/airkiln-lifecycle")
        self.layout = Layout(root)
        self.layout.run_env.parent.mkdir(parents=True)
        self.units: list[tuple[Unit, ...]] = [(Unit(1, Stage.RUNNING),)]
        self.asked: list[tuple[str, ...]] = []
        self.failures = 0

    def observe(self) -> tuple[Unit, ...]:
        if self.failures:
            self.failures -= 1
            raise AirkilnError("reloading")
        return self.units.pop(0) if len(self.units) > 1 else self.units[0]

    def systemctl(self, *arguments: str, timeout: float) -> str:
        assert timeout == TIMEOUT
        self.asked.append(arguments)
        return ""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path)
    monkeypatch.setattr(commands, "RuntimeDirectory", lambda: machine.directory)
    monkeypatch.setattr(commands, "Layout", lambda: machine.layout)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(Units, "observe", machine.observe)
    monkeypatch.setattr("airkiln.systemd.systemctl.systemctl", machine.systemctl)
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    monkeypatch.setenv("SUDO_USER", "ada")
    return machine


def test_the_status_of_a_worker_that_works(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert airkiln(["lifecycle", "status"]) == 0
    assert capsys.readouterr().out == "draining  no\nworker    airflow-worker@1.service: running\n"


def test_the_status_of_a_drain_as_json(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.directory.mark("the group ends this instance")
    since = time.clock_gettime(time.CLOCK_BOOTTIME) - 100
    machine.units = [(Unit(1, Stage.STOPPING, since, 300.0), Unit(2, Stage.ENDED, failed=True))]
    assert airkiln(["lifecycle", "status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["draining"] == "the group ends this instance"
    assert found["generations"][0]["ends_in"] == pytest.approx(200, abs=2)
    assert found["generations"][1] == {
        "unit": "airflow-worker@2.service",
        "stage": "ended",
        "failed": True,
        "ends_in": None,
    }


def test_a_stop_without_a_limit_has_no_end_to_show(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.units = [(Unit(1, Stage.STOPPING, 1.0, float("inf")),)]
    assert airkiln(["lifecycle", "status"]) == 0
    assert "airflow-worker@1.service: stopping\n" in capsys.readouterr().out


def test_a_host_without_a_worker_says_so(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.units = [()]
    assert airkiln(["lifecycle", "status"]) == 0
    assert "worker    none" in capsys.readouterr().out


def test_a_drain_marks_the_host_and_stops_what_runs(machine: Machine) -> None:
    machine.units = [(Unit(1, Stage.STOPPING, 1.0), Unit(2, Stage.RUNNING))]
    assert airkiln(["lifecycle", "drain"]) == 0
    assert machine.directory.marked() == "requested by ada"


def test_a_drain_that_is_waited_for_returns_when_nothing_runs(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    running, stopping = (Unit(1, Stage.RUNNING),), (Unit(1, Stage.STOPPING, 1.0),)
    machine.units = [running, stopping, stopping, (Unit(1, Stage.ENDED),)]
    assert airkiln(["lifecycle", "drain", "--wait"]) == 0
    assert "drained: no task" in capsys.readouterr().out


def test_a_drain_of_a_host_that_drains_keeps_its_reason(machine: Machine) -> None:
    machine.directory.mark("the group ends this instance")
    assert airkiln(["lifecycle", "drain"]) == 0
    assert machine.directory.marked() == "the group ends this instance"


@pytest.mark.parametrize(("written", "unit"), [(None, 1), ("3\n", 3), ("x", 1)])
def test_a_drain_taken_back_starts_the_newest_generation(
    machine: Machine, written: str | None, unit: int
) -> None:
    machine.directory.mark("requested by ada")
    if written is not None:
        machine.layout.worker_generation.write_text(written)
    assert airkiln(["lifecycle", "resume"]) == 0
    assert machine.directory.marked() is None
    assert machine.asked == [("start", "--no-block", f"airflow-worker@{unit}.service")]


def test_a_generation_that_is_ready_stops_those_before_it(machine: Machine) -> None:
    machine.units = [
        (
            Unit(1, Stage.STOPPING, 1.0),
            Unit(2, Stage.RUNNING),
            Unit(3, Stage.ENDED),
            Unit(4, Stage.RUNNING),
            Unit(5, Stage.RUNNING),
        )
    ]
    assert airkiln(["lifecycle", "supersede", "4"]) == 0
    assert machine.asked == [("stop", "--no-block", "airflow-worker@2.service")]


def test_the_first_generation_stops_none(machine: Machine) -> None:
    assert airkiln(["lifecycle", "supersede", "1"]) == 0
    assert machine.asked == []


@pytest.mark.parametrize(("failures", "code"), [(2, 0), (3, 1)])
def test_a_systemd_that_reads_its_units_again_is_asked_thrice(
    machine: Machine, failures: int, code: int
) -> None:
    machine.failures = failures
    assert airkiln(["lifecycle", "supersede", "2"]) == code
    assert len(machine.asked) == (code == 0)


def test_an_empty_mark_is_a_mark(machine: Machine) -> None:
    machine.directory.mark("")
    assert machine.directory.marked() == "marked as draining"


@pytest.mark.parametrize(
    ("execution", "base"),
    [
        ("http://127.0.0.1:8080/execution/", "http://127.0.0.1:8080"),
        ("https://airflow.example.org/execution", "https://airflow.example.org"),
        ("https://example.org/af/execution/", "https://example.org/af"),
    ],
)
def test_the_web_server_is_where_the_task_execution_api_is(execution: str, base: str) -> None:
    assert base_url(execution) == base


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(AirkilnError, match="not the address"):
        base_url("execution")


def test_a_login_without_its_parts_names_them_and_shows_no_password() -> None:
    with pytest.raises(RefusedError) as refused:
        login({})
    assert [problem.split(":")[0] for problem in refused.value.problems] == [
        EXECUTION_API,
        airflow_api.PASSWORD,
    ]
    assert "KANARI" not in repr(Login("http://x", "y", "KANARI"))


def test_run_is_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[bool] = []
    monkeypatch.setattr("airkiln.lifecycle.daemon.Daemon.run", lambda _: ran.append(True))
    commands.run(argparse.Namespace())
    assert ran == [True]
