"""The leader's control groups in a folder with real processes behind it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from airkiln.failover.control_groups import ControlGroups
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
    ControlGroups(tree.root).kill()
    assert {unit: tree.written(unit) for unit in LEADER_UNITS} == {
        SCHEDULER_UNIT: "1",
        DAG_PROCESSOR_UNIT: "1",
        AUTOSCALE_UNIT: "1",
    }


def test_a_unit_that_does_not_run_holds_up_nothing(tree: Tree, capfd: pytest.CaptureFixture[str]) -> None:
    tree.unit(DAG_PROCESSOR_UNIT)
    groups = ControlGroups(tree.root)
    groups.kill()
    assert tree.written(DAG_PROCESSOR_UNIT) == "1"
    assert groups.killed()
    assert capfd.readouterr().err == ""


def test_killed_is_what_has_ended(tree: Tree) -> None:
    scheduler, processor = tree.process(), tree.process()
    tree.unit(SCHEDULER_UNIT, scheduler.pid)
    tree.unit(DAG_PROCESSOR_UNIT, processor.pid)
    groups = ControlGroups(tree.root)
    groups.kill()
    assert not groups.killed()
    end(scheduler)
    assert not groups.killed()
    end(processor)
    assert groups.killed()


def test_a_process_that_nobody_has_reaped_yet_has_ended(tree: Tree) -> None:
    scheduler = tree.process()
    tree.unit(SCHEDULER_UNIT, scheduler.pid)
    groups = ControlGroups(tree.root)
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
    groups = ControlGroups(tree.root)
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
    groups = ControlGroups(tree.root, tmp_path / "proc")
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
    groups = ControlGroups(tree.root, tmp_path / "proc")
    groups.kill()
    assert groups.killed()


def test_a_successor_is_not_waited_for(tree: Tree) -> None:
    scheduler = tree.process()
    folder = tree.unit(SCHEDULER_UNIT, scheduler.pid)
    groups = ControlGroups(tree.root)
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
    ControlGroups(tree.root).kill()
    assert f"event=kill-failed unit={SCHEDULER_UNIT} reason=Is a directory" in capfd.readouterr().err
    assert tree.written(DAG_PROCESSOR_UNIT) == "1"
