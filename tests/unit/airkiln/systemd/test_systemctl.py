"""systemctl: waited for, and beside a loop. A program in its place does what a test needs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from airkiln.errors import AirkilnError
from airkiln.systemd import systemctl
from airkiln.systemd.systemctl import JobQueue
from tests.unit.airkiln.failover.scheduler import PATIENCE


@pytest.fixture
def instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Writes a program that runs in the place of systemctl."""

    def write(script: str) -> None:
        program = tmp_path / "systemctl"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return write


def test_its_own_words_are_the_reason(instead: Callable[[str], None]) -> None:
    instead("echo 'it is' >&2; echo broken >&2; exit 4")
    with pytest.raises(AirkilnError, match="systemctl stop x: failed: it is broken: look at"):
        systemctl.systemctl("stop", "x")


def test_one_that_hangs_is_an_error(instead: Callable[[str], None]) -> None:
    instead("exec sleep 5")
    with pytest.raises(AirkilnError, match="TimeoutExpired"):
        systemctl.systemctl("stop", "x", timeout=0.1)


def test_a_host_without_it_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(AirkilnError, match="FileNotFoundError"):
        systemctl.systemctl("stop", "x")


def test_properties_come_unit_by_unit(instead: Callable[[str], None]) -> None:
    instead(r"printf 'Id=a\nWants=b c=d\n\nId=e\nWants=\n'")
    assert systemctl.show("a*", "Id", "Wants") == [
        {"Id": "a", "Wants": "b c=d"},
        {"Id": "e", "Wants": ""},
    ]


class Systemctl:
    """A program in place of systemctl: it writes down how it was called, then does as told."""

    def __init__(self, folder: Path, then: str = "") -> None:
        self.log, self.go = folder / "calls", folder / "go"
        self.log.touch()
        program = folder / "systemctl"
        program.write_text(f'#!/bin/sh\necho "$@" >> {self.log}\n{then}\n'.replace("GO", str(self.go)))
        program.chmod(0o755)
        self.jobs = JobQueue((str(program), "--no-block"))

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines()

    def goes_on_until(self, holds: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < until, self.calls()
            self.jobs.advance()
            time.sleep(0.005)


HELD = "while [ ! -e GO ]; do sleep 0.01; done"
"""Until the test lets go."""


def test_what_is_asked_is_done_in_order_and_one_at_a_time(tmp_path: Path) -> None:
    program = Systemctl(tmp_path, HELD)
    program.jobs.request("stop", "a.service")
    program.jobs.request("start", "b.service")
    program.jobs.request("start", "c.service")
    program.goes_on_until(lambda: len(program.calls()) == 1)
    program.jobs.advance()
    assert program.calls() == ["--no-block stop a.service"]
    program.go.touch()
    program.goes_on_until(lambda: not program.jobs.busy)
    assert program.calls()[1:] == ["--no-block start b.service", "--no-block start c.service"]


def test_the_last_word_about_a_unit_counts(tmp_path: Path) -> None:
    program = Systemctl(tmp_path, HELD)
    program.jobs.request("start", "a.service")
    for verb in ("start", "stop", "start", "stop"):
        program.jobs.request(verb, "b.service")
    program.go.touch()
    program.goes_on_until(lambda: not program.jobs.busy)
    assert program.calls() == ["--no-block start a.service", "--no-block stop b.service"]


def test_one_that_hangs_is_ended_and_the_next_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(systemctl, "JOB_TIMEOUT", 0.2)
    program = Systemctl(tmp_path, '[ "$3" != a.service ] || exec sleep 600')
    program.jobs.request("start", "a.service")
    program.jobs.request("start", "b.service")
    program.goes_on_until(lambda: not program.jobs.busy)
    assert "--no-block start b.service" in program.calls()
    assert "event=systemctl-failed unit=a.service reason=start ended with -9" in capfd.readouterr().err


def test_one_that_fails_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    program = Systemctl(tmp_path, "exit 5")
    program.jobs.request("start", "a.service")
    program.goes_on_until(lambda: not program.jobs.busy)
    assert "event=systemctl-failed unit=a.service reason=start ended with 5" in capfd.readouterr().err


def test_a_host_without_systemctl_says_so_and_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    jobs = JobQueue((str(tmp_path / "systemctl"),))
    jobs.request("start", "a.service")
    assert not jobs.busy
    assert "event=systemctl-failed unit=a.service reason=No such file" in capfd.readouterr().err


@pytest.mark.parametrize("failed", [True, False])
def test_a_unit_is_started_again_where_its_start_failed(tmp_path: Path, failed: bool) -> None:
    program = Systemctl(tmp_path, f'[ "$2" != is-failed ] || exit {0 if failed else 1}')
    program.jobs.retry("a.service")
    program.goes_on_until(lambda: not program.jobs.busy)
    again = ["--no-block start a.service"] if failed else []
    assert program.calls() == ["--no-block is-failed a.service", *again]


def test_a_start_that_systemctl_refused_is_requested_again_until_it_is_taken(tmp_path: Path) -> None:
    program = Systemctl(tmp_path, "[ -e GO ]")
    for _ in range(2):
        program.jobs.retry("a.service") if program.calls() else program.jobs.request("start", "a.service")
        program.goes_on_until(lambda: not program.jobs.busy)
    assert program.calls() == ["--no-block start a.service"] * 2
    program.go.touch()
    program.jobs.retry("a.service")
    program.goes_on_until(lambda: not program.jobs.busy)
    program.jobs.retry("a.service")
    program.goes_on_until(lambda: not program.jobs.busy)
    assert program.calls()[3] == "--no-block is-failed a.service"


def test_a_stop_that_is_requested_meanwhile_counts_more_than_a_failure(tmp_path: Path) -> None:
    program = Systemctl(tmp_path, HELD)
    program.jobs.retry("a.service")
    program.goes_on_until(lambda: bool(program.calls()))
    program.jobs.request("stop", "a.service")
    program.go.touch()
    program.goes_on_until(lambda: not program.jobs.busy)
    assert program.calls() == ["--no-block is-failed a.service", "--no-block stop a.service"]
