"""The loop around the decision: what it looks at, and that nothing it calls holds it up."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from airkiln.errors import AirkilnError, UnavailableError
from airkiln.host.instance import Instance
from airkiln.host.layout import Layout
from airkiln.host.notices import Notices, NoticeWatcher
from airkiln.lifecycle.airflow_api import Login, Task
from airkiln.lifecycle.daemon import Daemon, Parts
from airkiln.lifecycle.hook import Hook
from airkiln.lifecycle.model import ClearUnfinished, HookCall, HookReply, Stage, Unit
from airkiln.lifecycle.runtime import RuntimeDirectory
from airkiln.lifecycle.units import Units

ENV = (
    'AIRFLOW__CORE__EXECUTION_API_SERVER_URL="http://web:8080/execution/"\n'
    'AIRKILN_POOLS="{\\"heavy\\": {\\"slots\\": 2, \\"queues\\": [\\"big\\"], \\"rebalance\\": \\"%s\\"}}"\n'
)


class FakeUnits(Units):
    """systemd with one worker, which ends when it is told to."""

    def __init__(self) -> None:
        super().__init__(lambda *_: "")
        self.units: tuple[Unit, ...] | Exception = (Unit(1, Stage.RUNNING),)
        self.stopped: list[int] = []
        self.killed: list[int] = []

    def observe(self) -> tuple[Unit, ...]:
        if isinstance(self.units, Exception):
            raise self.units
        return self.units

    def stop(self, generations: Iterable[int]) -> None:
        self.stopped += generations
        self.units = ()

    def kill(self, generations: Iterable[int]) -> None:
        self.killed += generations


class FakeHook(Hook):
    """A group that answers at once."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[HookCall] = []
        self.reply = HookReply.DONE
        self.failure = "Throttling"
        self.before: Callable[[], object] = lambda: None

    def call(self, which: HookCall, instance: Instance) -> HookReply:
        assert (instance.instance_id, instance.pool) == ("i-1", "heavy")
        self.before()
        self.calls.append(which)
        return self.reply


@dataclass
class Machine:
    """A host in a folder."""

    layout: Layout
    units: FakeUnits = field(default_factory=FakeUnits)
    hook: FakeHook = field(default_factory=FakeHook)
    watcher: NoticeWatcher = field(default_factory=NoticeWatcher)
    now: float = 1000.0
    cleared: list[tuple[Login, ClearUnfinished]] = field(default_factory=list)
    clear_failure: Exception | None = None

    def parts(self) -> Parts:
        def clear(login: Login, wanted: ClearUnfinished) -> list[Task]:
            self.cleared.append((login, wanted))
            if self.clear_failure is not None:
                raise self.clear_failure
            return [Task("etl", "manual__1", "load", -1)]

        directory = RuntimeDirectory(self.layout.root / "run/airkiln-lifecycle")
        directory.path.mkdir(parents=True, exist_ok=True)
        return Parts(
            self.layout, directory, self.units, self.watcher, self.hook, clear=clear, clock=lambda: self.now
        )

    def turns(self, daemon: Daemon, until: Callable[[], bool]) -> None:
        """Turn until something is so; the calls beside the loop get their time."""
        for _ in range(500):
            daemon.turn()
            if until():
                return
            self.now += 0.05
            time.sleep(0.002)
        pytest.fail("it did not come to that")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    layout = Layout(tmp_path)
    layout.run_env.parent.mkdir(parents=True)
    layout.run_env.write_text(ENV % "drain")
    layout.run_env.with_name("admin.env").write_text('AIRKILN_LIFECYCLE_PASSWORD="KANARI"\n')
    layout.instance_json.write_text(
        json.dumps({"environment": "prod", "pool": "heavy", "instance_id": "i-1", "region": "eu-west-1"})
    )
    return Machine(layout)


def test_a_worker_that_its_group_lets_go_is_drained_and_the_hook_completed(machine: Machine) -> None:
    daemon = Daemon(machine.parts())
    daemon.turn()
    assert machine.units.stopped == []
    machine.watcher.notices = Notices(lifecycle="Terminated")
    machine.turns(daemon, lambda: HookCall.COMPLETE in machine.hook.calls)
    assert machine.units.stopped == [1]
    assert machine.parts().directory.marked() == "the group ends this instance"


def test_a_daemon_that_starts_anew_finds_the_mark_and_goes_on(machine: Machine) -> None:
    machine.parts().directory.mark("the group ends this instance")
    Daemon(machine.parts()).turn()
    assert machine.units.stopped == [1]


@pytest.mark.parametrize(("rebalance", "stopped"), [("drain", [1]), ("ignore", [])])
def test_a_recommendation_is_followed_where_the_pool_says_so(
    machine: Machine, rebalance: str, stopped: list[int]
) -> None:
    machine.layout.run_env.write_text(ENV % rebalance)
    machine.watcher.notices = Notices(rebalance=True)
    Daemon(machine.parts()).turn()
    assert machine.units.stopped == stopped


def test_a_pool_that_cannot_be_read_is_told_and_stays_as_it_was(
    machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    machine.layout.run_env.write_text('AIRKILN_POOLS="{"\n')
    machine.watcher.notices = Notices(rebalance=True)
    daemon = Daemon(machine.parts())
    for _ in range(3):
        daemon.turn()
    assert machine.units.stopped == []
    assert capfd.readouterr().err.count("event=failed what=pool") == 1


def test_near_its_end_what_runs_is_cleared_with_the_hosts_login(
    machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    machine.units.units = (Unit(1, Stage.STOPPING, since=machine.now, limit=30),)
    daemon = Daemon(machine.parts())
    machine.turns(daemon, lambda: bool(machine.cleared))
    login, wanted = machine.cleared[0]
    assert (login.url, login.user, login.password) == ("http://web:8080", "airkiln-worker", "KANARI")
    assert wanted == ClearUnfinished((1,), whole=False)
    machine.turns(daemon, lambda: "event=cleared dag=etl" in capfd.readouterr().err)


def test_what_is_left_is_killed(machine: Machine) -> None:
    machine.units.units = (Unit(1, Stage.STOPPING, since=machine.now - 27, limit=30),)
    Daemon(machine.parts()).turn()
    assert machine.units.killed == [1]


@pytest.mark.parametrize("failure", [UnavailableError("no answer"), RuntimeError("a defect")])
def test_a_clearing_that_fails_is_tried_again(
    machine: Machine, failure: Exception, capfd: pytest.CaptureFixture[str]
) -> None:
    machine.clear_failure = failure
    machine.units.units = (Unit(1, Stage.STOPPING, since=machine.now, limit=30),)
    daemon = Daemon(machine.parts())
    machine.turns(daemon, lambda: len(machine.cleared) == 1)
    machine.turns(daemon, lambda: len(machine.cleared) == 2)
    assert "what=clear" in capfd.readouterr().err


def test_without_a_password_it_says_what_is_missing(
    machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    machine.layout.run_env.with_name("admin.env").unlink()
    machine.units.units = (Unit(1, Stage.STOPPING, since=machine.now, limit=30),)
    daemon = Daemon(machine.parts())
    said: list[str] = []

    def told() -> bool:
        said.append(capfd.readouterr().err)
        return "AIRKILN_LIFECYCLE_PASSWORD: missing" in "".join(said)

    machine.turns(daemon, told)
    assert machine.cleared == []


def test_a_systemd_that_does_not_answer_is_asked_again(
    machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    machine.watcher.notices = Notices(lifecycle="Terminated")
    machine.units.units = AirkilnError("reloading")
    daemon = Daemon(machine.parts())
    daemon.turn()
    assert machine.hook.calls == []
    machine.units.units = (Unit(1, Stage.RUNNING),)
    daemon.turn()
    assert machine.units.stopped == [1]
    assert "what=systemd reason=reloading" in capfd.readouterr().err


def test_a_call_that_hangs_holds_nothing_up(machine: Machine) -> None:
    over = threading.Event()
    machine.hook.before = over.wait
    machine.watcher.notices = Notices(lifecycle="Terminated")
    daemon = Daemon(machine.parts())
    began = time.monotonic()
    for _ in range(5):
        daemon.turn()
    assert time.monotonic() - began < 5
    assert machine.units.stopped == [1]
    over.set()


def test_throttling_is_told_once(machine: Machine, capfd: pytest.CaptureFixture[str]) -> None:
    machine.hook.reply = HookReply.FAILED
    machine.watcher.notices = Notices(lifecycle="Terminated")
    daemon = Daemon(machine.parts())
    for wanted in (1, 2, 3):
        machine.turns(daemon, lambda: len(machine.hook.calls) >= wanted)  # noqa: B023 - called at once
        machine.now += 6
    assert capfd.readouterr().err.count("what=autoscaling reason=heartbeat failed: Throttling") == 1


def test_what_it_does_is_there_to_read(machine: Machine) -> None:
    daemon = Daemon(machine.parts())
    daemon.turn()
    shown = machine.parts().directory.state
    assert json.loads(shown.read_text())["status"] == "working, 1 running"
    machine.watcher.notices = Notices(lifecycle="Terminated")
    daemon.turn()
    assert json.loads(shown.read_text())["lifecycle"] == "Terminated"


def test_a_mark_that_cannot_be_written_holds_the_end_up_for_a_minute(machine: Machine) -> None:
    parts = machine.parts()
    parts.directory.path.rmdir()
    parts.directory.path.write_text("no folder")
    machine.watcher.notices = Notices(lifecycle="Terminated")
    daemon = Daemon(parts)
    for _ in range(20):
        daemon.turn()
        time.sleep(0.002)
    assert machine.units.stopped == [1]
    assert set(machine.hook.calls) == {HookCall.HEARTBEAT}
    machine.now += 60
    machine.turns(daemon, lambda: machine.hook.calls[-1] is HookCall.COMPLETE)


def test_run_tells_systemd_and_ends_when_it_is_told_to(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.setattr("airkiln.systemd.notify.send", sent.append)
    monkeypatch.setattr(machine.watcher, "start", lambda: None)
    daemon = Daemon(machine.parts())
    monkeypatch.setattr(daemon, "turn", lambda: os.kill(os.getpid(), signal.SIGTERM))
    daemon.run()
    assert sent == ["READY=1", "WATCHDOG=1", "STOPPING=1"]
