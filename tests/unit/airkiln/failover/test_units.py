"""The leader's control groups in a folder with real processes behind it, and systemctl beside the loop."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airkiln.failover import units as supervisor
from airkiln.failover.units import Groups, Units
from airkiln.roles import AUTOSCALE_UNIT, DAG_PROCESSOR_UNIT, LEADER_UNITS, SCHEDULER_UNIT
from tests.unit.airkiln.failover.scheduler import PATIENCE


class Tree:
    """A folder in place of system.slice. The processes in it are real ones."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.processes: list[subprocess.Popen[bytes]] = []

    def unit(self, unit: str, *pids: int) -> Path:
        folder = self.root / unit
        folder.mkdir(parents=True)
        (folder / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))
        (folder / "cgroup.kill").write_text("")
        return folder

    def process(self) -> subprocess.Popen[bytes]:
        self.processes.append(subprocess.Popen(["sleep", "600"]))
        return self.processes[-1]

    def written(self, unit: str) -> str:
        return (self.root / unit / "cgroup.kill").read_text()


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    found = Tree(tmp_path / "system.slice")
    found.root.mkdir()
    yield found
    for each in found.processes:
        each.kill()
        each.wait()


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def test_every_unit_of_the_leader_is_killed_whole(tree: Tree) -> None:
    for unit in LEADER_UNITS:
        tree.unit(unit)
    Groups(tree.root).kill()
    assert {unit: tree.written(unit) for unit in LEADER_UNITS} == {
        SCHEDULER_UNIT: "1",
        DAG_PROCESSOR_UNIT: "1",
        AUTOSCALE_UNIT: "1",
    }


def test_a_unit_that_does_not_run_holds_up_nothing(tree: Tree, capfd: pytest.CaptureFixture[str]) -> None:
    tree.unit(DAG_PROCESSOR_UNIT)
    groups = Groups(tree.root)
    groups.kill()
    assert tree.written(DAG_PROCESSOR_UNIT) == "1"
    assert groups.killed()
    assert capfd.readouterr().err == ""


def test_killed_is_what_has_ended(tree: Tree) -> None:
    scheduler, processor = tree.process(), tree.process()
    tree.unit(SCHEDULER_UNIT, scheduler.pid)
    tree.unit(DAG_PROCESSOR_UNIT, processor.pid)
    groups = Groups(tree.root)
    groups.kill()
    assert not groups.killed()
    end(scheduler)
    assert not groups.killed()
    end(processor)
    assert groups.killed()


def test_a_process_that_nobody_has_reaped_yet_has_ended(tree: Tree) -> None:
    scheduler = tree.process()
    tree.unit(SCHEDULER_UNIT, scheduler.pid)
    groups = Groups(tree.root)
    groups.kill()
    scheduler.kill()
    until = time.monotonic() + PATIENCE
    while not groups.killed():
        assert time.monotonic() < until
    assert scheduler.returncode is None


def test_processes_in_groups_below_count(tree: Tree) -> None:
    child = tree.process()
    below = tree.unit(SCHEDULER_UNIT) / "below"
    below.mkdir()
    (below / "cgroup.procs").write_text(f"{child.pid}\n")
    groups = Groups(tree.root)
    groups.kill()
    assert not groups.killed()
    end(child)
    assert groups.killed()


def stat_line(began: int, state: str = "S") -> str:
    """proc(5): the state is the 3rd field, and the start the 22nd; the name may hold anything."""
    return f"1 (a) b () {state} {' '.join(str(number) for number in range(4, 22))} {began} 0 0\n"


def test_a_number_that_another_process_has_got_is_not_waited_for(tree: Tree, tmp_path: Path) -> None:
    tree.unit(SCHEDULER_UNIT, 4242)
    shown = tmp_path / "proc/4242/stat"
    shown.parent.mkdir(parents=True)
    shown.write_text(stat_line(began=1000))
    groups = Groups(tree.root, tmp_path / "proc")
    groups.kill()
    assert not groups.killed()
    shown.write_text(stat_line(began=2000))
    assert groups.killed()


@pytest.mark.parametrize("shown", [None, stat_line(began=1000, state="Z")], ids=["gone", "a zombie"])
def test_a_process_that_ends_while_it_is_looked_for_is_not_waited_for(
    tree: Tree, tmp_path: Path, shown: str | None
) -> None:
    tree.unit(SCHEDULER_UNIT, 4242)
    (tmp_path / "proc/4242").mkdir(parents=True)
    if shown:
        (tmp_path / "proc/4242/stat").write_text(shown)
    groups = Groups(tree.root, tmp_path / "proc")
    groups.kill()
    assert groups.killed()


def test_a_successor_is_not_waited_for(tree: Tree) -> None:
    scheduler = tree.process()
    folder = tree.unit(SCHEDULER_UNIT, scheduler.pid)
    groups = Groups(tree.root)
    groups.kill()
    end(scheduler)
    (folder / "cgroup.procs").write_text(f"{tree.process().pid}\n")
    assert groups.killed()


def test_a_kill_that_fails_is_said_and_the_other_unit_is_killed(
    tree: Tree, capfd: pytest.CaptureFixture[str]
) -> None:
    (tree.unit(SCHEDULER_UNIT) / "cgroup.kill").unlink()
    (tree.root / SCHEDULER_UNIT / "cgroup.kill").mkdir()
    tree.unit(DAG_PROCESSOR_UNIT)
    Groups(tree.root).kill()
    assert f"event=kill-failed unit={SCHEDULER_UNIT} reason=Is a directory" in capfd.readouterr().err
    assert tree.written(DAG_PROCESSOR_UNIT) == "1"


# systemctl


class Systemctl:
    """A program in place of systemctl: it writes down how it was called, then does as told."""

    def __init__(self, folder: Path, then: str = "") -> None:
        self.log, self.go = folder / "calls", folder / "go"
        self.log.touch()
        program = folder / "systemctl"
        program.write_text(f'#!/bin/sh\necho "$@" >> {self.log}\n{then}\n'.replace("GO", str(self.go)))
        program.chmod(0o755)
        self.units = Units((str(program), "--no-block"))

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines()

    def goes_on_until(self, holds: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < until, self.calls()
            self.units.go_on()
            time.sleep(0.005)


HELD = "while [ ! -e GO ]; do sleep 0.01; done"
"""Until the test lets go."""


def test_what_is_asked_is_done_in_order_and_one_at_a_time(tmp_path: Path) -> None:
    systemctl = Systemctl(tmp_path, HELD)
    systemctl.units.ask("stop", "a.service")
    systemctl.units.ask("start", "b.service")
    systemctl.units.ask("start", "c.service")
    systemctl.goes_on_until(lambda: len(systemctl.calls()) == 1)
    systemctl.units.go_on()
    assert systemctl.calls() == ["--no-block stop a.service"]
    systemctl.go.touch()
    systemctl.goes_on_until(lambda: not systemctl.units.busy)
    assert systemctl.calls()[1:] == ["--no-block start b.service", "--no-block start c.service"]


def test_the_last_word_about_a_unit_counts(tmp_path: Path) -> None:
    systemctl = Systemctl(tmp_path, HELD)
    systemctl.units.ask("start", "a.service")
    for verb in ("start", "stop", "start", "stop"):
        systemctl.units.ask(verb, "b.service")
    systemctl.go.touch()
    systemctl.goes_on_until(lambda: not systemctl.units.busy)
    assert systemctl.calls() == ["--no-block start a.service", "--no-block stop b.service"]


def test_one_that_hangs_is_ended_and_the_next_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supervisor, "SYSTEMCTL_LIMIT", 0.2)
    systemctl = Systemctl(tmp_path, '[ "$3" != a.service ] || exec sleep 600')
    systemctl.units.ask("start", "a.service")
    systemctl.units.ask("start", "b.service")
    systemctl.goes_on_until(lambda: not systemctl.units.busy)
    assert "--no-block start b.service" in systemctl.calls()
    assert "event=systemctl-failed unit=a.service reason=start ended with -9" in capfd.readouterr().err


def test_one_that_fails_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    systemctl = Systemctl(tmp_path, "exit 5")
    systemctl.units.ask("start", "a.service")
    systemctl.goes_on_until(lambda: not systemctl.units.busy)
    assert "event=systemctl-failed unit=a.service reason=start ended with 5" in capfd.readouterr().err


def test_a_host_without_systemctl_says_so_and_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    units = Units((str(tmp_path / "systemctl"),))
    units.ask("start", "a.service")
    assert not units.busy
    assert "event=systemctl-failed unit=a.service reason=No such file" in capfd.readouterr().err
