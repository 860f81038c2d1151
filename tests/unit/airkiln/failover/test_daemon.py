"""The loop itself: the real gate with a real process behind it, real signals, systemd's own socket.

The daemon runs in the main thread, as signals want it; the test's story goes on beside it.
"""

from __future__ import annotations

import json
import os
import pwd
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from airkiln.failover import daemon
from airkiln.failover.config import Timings
from airkiln.failover.gate import Gate
from airkiln.host.notices import Notices, SpotNotice
from airkiln.roles import AUTOSCALE_UNIT, DAG_PROCESSOR_UNIT, SCHEDULER_UNIT
from tests.unit.airkiln.failover.fake_client import PASSWORD, Lease
from tests.unit.airkiln.failover.machine import SECRETS, FakeProbe, FakeReporter, FakeWatcher, Machine
from tests.unit.airkiln.failover.scheduler import Scheduler, Start, eventually

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    found = Machine(tmp_path)
    me = pwd.getpwuid(os.getuid())
    monkeypatch.setattr(pwd, "getpwnam", lambda _: me)
    monkeypatch.setattr(daemon, "Gate", lambda path, unit, group: Gate(path, unit, group, found.proc))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    handlers = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))

        def listen() -> None:
            while (message := systemd.recv(4096).decode()) != "the end":
                found.told.append(message)

        listening = threading.Thread(target=listen)
        listening.start()
        yield found
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"the end", str(tmp_path / "notify"))
        listening.join()
    signal.set_wakeup_fd(-1)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def mode(path: Path) -> str:
    return oct(path.stat().st_mode & 0o7777)


def test_a_free_lease_opens_the_gate_after_the_fence(machine: Machine, start: Start) -> None:
    scheduler = machine.scheduler(start)

    def story() -> None:
        assert scheduler.epoch() == 7

    machine.runs(story)
    wanted = ["poll", "acquire", "fence", "fence", "adopt"]
    assert [call for call in machine.lease.calls if call in wanted][:5] == wanted
    assert machine.jobs.followers() == ["start", "stop"]


def test_what_is_loaded_for_a_leader_is_stopped_once_where_another_host_leads(
    machine: Machine, start: Start
) -> None:
    machine.scheduler(start)
    machine.lease.view = replace(machine.lease.view, holder="other/1", remaining=60.0)

    def story() -> None:
        eventually(lambda: machine.jobs.followers() == ["stop"])
        polls = machine.lease.calls.count("poll")
        eventually(lambda: machine.lease.calls.count("poll") > polls + 1)

    machine.runs(story)
    assert machine.jobs.followers() == ["stop"]


def test_the_scheduler_finds_the_epochs_login_and_nobody_else_may(machine: Machine, start: Start) -> None:
    scheduler = machine.scheduler(start)
    found: list[str] = []

    def story() -> None:
        scheduler.epoch()
        found.extend(machine.directory.service.read_text().splitlines())
        found.append(mode(machine.directory.service))
        state = machine.directory.state
        assert json.loads(state.read_text()) == {"holder": machine.lease.held_by, "epoch": 7}
        assert mode(state) == "0o600"

    machine.runs(story)
    assert found[0] == "[airkiln_scheduler]"
    assert {"user=airflow_scheduler_7", f"password={PASSWORD}", "host=db.internal"} <= set(found)
    assert found[-1] == "0o640"
    assert machine.directory.service.exists() is False
    assert [path.name for path in machine.directory.path.iterdir() if path.name.startswith(".")] == []


def test_no_password_is_ever_said(machine: Machine, start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    scheduler = machine.scheduler(start)
    machine.runs(scheduler.leads)
    said = capfd.readouterr().err
    assert "event=leads epoch=7" in said
    assert [secret for secret in SECRETS for line in (said, *machine.told) if secret in line] == []


def test_a_scheduler_that_dies_is_given_up_and_the_lease_released(
    machine: Machine, start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    scheduler = machine.scheduler(start)

    def story() -> None:
        scheduler.epoch()
        scheduler.signal(signal.SIGKILL)
        eventually(machine.called("release"))
        assert not machine.directory.service.exists()

    machine.runs(story)
    assert "event=gives-up epoch=7" in (said := capfd.readouterr().err)
    assert "reason=the scheduler died" in said
    assert machine.jobs.followers() == ["start", "stop"]
    assert machine.groups.kills == 1


def test_told_to_stop_it_kills_then_releases_and_ends(machine: Machine, start: Start) -> None:
    scheduler = machine.scheduler(start)
    killed_before: list[int] = []

    def note(name: str) -> None:
        if name == "release":
            killed_before.append(machine.groups.kills)

    machine.lease.before = note
    machine.runs(scheduler.leads)
    assert killed_before == [1]
    assert machine.lease.held_by == ""
    assert scheduler.ended() < 0
    eventually(lambda: machine.told[-1] == "STOPPING=1")


@pytest.mark.parametrize(
    ("notices", "reason"),
    [
        (Notices(), None),
        (Notices(lifecycle="InService"), None),
        (Notices(lifecycle="Pending:Wait", rebalance=True), None),
        (Notices(lifecycle="Terminated"), "lifecycle state Terminated"),
        (Notices(lifecycle="Detached"), "lifecycle state Detached"),
        (Notices(lifecycle="Standby"), "lifecycle state Standby"),
        (Notices(lifecycle="InService", spot=SpotNotice(1.0, "Spot stop at 8")), "Spot stop at 8"),
    ],
)
def test_why_an_instance_ends_soon(notices: Notices, reason: str | None) -> None:
    assert daemon.leaving(notices) == reason


@pytest.mark.timeout(20)
def test_told_to_stop_it_does_not_sleep_on(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "LONGEST_SLEEP", 3600)
    machine.timings = Timings(poll_interval=3600)
    machine.runs(
        lambda: eventually(lambda: len(machine.told) > 2)
    )  # it has gone to sleep, or will any moment


def test_told_to_stop_while_it_leads_nothing_it_kills_nothing(machine: Machine) -> None:
    machine.runs(lambda: eventually(machine.called("poll")))
    assert (machine.groups.kills, "release" in machine.lease.calls) == (0, False)


def test_a_network_that_swallows_everything_does_not_keep_it_from_killing(
    machine: Machine, start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    machine.timings = Timings(call_timeout=0.2, self_fence_deadline=0.6)
    scheduler = machine.scheduler(start)

    def story() -> None:
        scheduler.epoch()
        machine.lease.swallowed = {"renew", "release", "blocking_locks"}
        assert scheduler.ended() < 0

    machine.runs(story)
    assert "reason=no renewal for 0.6 s" in capfd.readouterr().err


def test_a_stopped_scheduler_is_given_up(
    machine: Machine, start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    machine.timings = Timings(stopped_timeout=0.1, dump_timeout=0.05)
    scheduler = machine.scheduler(start)

    def story() -> None:
        scheduler.epoch()
        scheduler.signal(signal.SIGSTOP)
        eventually(machine.called("release"))

    machine.runs(story)
    said = capfd.readouterr().err
    assert said.index("event=stuck epoch=7") < said.index("event=gives-up epoch=7")


def test_a_scheduler_whose_main_thread_hangs_beside_a_thread_that_computes_is_given_up(
    machine: Machine, start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    machine.timings = Timings(scheduler_heartbeat=0.2, stuck_timeout=1.5, dump_timeout=0.05)
    scheduler = machine.scheduler(start)

    def story() -> None:
        scheduler.epoch()
        scheduler.signal(signal.SIGUSR1)
        eventually(machine.called("release"))

    machine.runs(story)
    assert "and no progress for" in capfd.readouterr().err


def test_a_host_cut_off_from_the_broker_says_so_and_calls_itself_not_ready(machine: Machine) -> None:
    machine.probe.fails = True
    machine.runs(lambda: eventually(lambda: any("no broker" in each for each in machine.told)))
    assert machine.lease.ready == {False}


def test_an_instance_that_will_end_hands_over(
    machine: Machine, start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    scheduler = machine.scheduler(start)

    def story() -> None:
        scheduler.epoch()
        machine.watcher.notices = Notices(spot=SpotNotice(0.0, "a Spot notice"))
        eventually(machine.called("release"))

    machine.runs(story)
    assert "reason=this instance ends: a Spot notice" in capfd.readouterr().err


def test_a_scheduler_is_asked_for_while_none_waits(machine: Machine) -> None:
    machine.runs(lambda: eventually(machine.called("poll")))
    assert machine.jobs.requested == [("start", SCHEDULER_UNIT)]


def test_the_leaders_figures_are_there_while_it_leads(machine: Machine, start: Start) -> None:
    scheduler = machine.scheduler(start)

    def story() -> None:
        scheduler.epoch()
        eventually(lambda: machine.reporter.figures is not None)
        figures = machine.reporter.figures
        assert figures is not None
        assert (figures.epoch, figures.takeovers) == (7, 1)

    machine.runs(story)
    assert machine.reporter.figures is None


# The watchdog


def fed(machine: Machine) -> int:
    return machine.told.count("WATCHDOG=1")


@pytest.mark.parametrize("leads", [False, True])
def test_the_watchdog_is_fed_while_it_stands_by_and_while_it_leads(
    machine: Machine, start: Start, monkeypatch: pytest.MonkeyPatch, leads: bool
) -> None:
    monkeypatch.setattr(daemon, "LONGEST_SLEEP", 0.02)
    scheduler = machine.scheduler(start) if leads else None

    def story() -> None:
        if scheduler:
            scheduler.epoch()
        before = fed(machine)
        eventually(lambda: fed(machine) > before + 3)

    machine.runs(story)


def test_it_is_not_fed_while_something_runs_that_no_lease_covers(
    machine: Machine, start: Start, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(daemon, "LONGEST_SLEEP", 0.02)
    machine.timings = Timings(poll_interval=0.1)
    scheduler = machine.scheduler(start)

    def story() -> None:
        scheduler.epoch()
        machine.groups.stays = True
        scheduler.signal(signal.SIGKILL)
        eventually(machine.called("release"))
        polled = machine.lease.calls.count("poll")
        eventually(machine.called("poll", polled + 1))
        before = fed(machine)
        eventually(machine.called("poll", polled + 5))
        assert fed(machine) == before
        machine.groups.stays = False
        eventually(lambda: fed(machine) > before)

    machine.runs(story)
    assert "event=not-ended epoch=7" in capfd.readouterr().err


def test_the_status_says_where_it_stands(machine: Machine, start: Start) -> None:
    scheduler = machine.scheduler(start)

    def story() -> None:
        scheduler.epoch()
        eventually(lambda: "STATUS=leading, epoch 7" in machine.told)
        machine.lease.answers["renew"] = (True, replace(machine.lease.view, paused=True))
        machine.lease.swallowed = {"renew"}
        eventually(lambda: "STATUS=leading, epoch 7, no database" in machine.told)

    machine.runs(story)


# What an earlier run left


def test_what_an_earlier_run_led_is_killed_at_the_start(machine: Machine) -> None:
    machine.directory.state.write_text('{"holder": "a/0", "epoch": 6}')
    machine.directory.service.write_text("a login of then")
    machine.runs(lambda: eventually(lambda: not machine.directory.state.exists()))
    assert machine.groups.kills == 1
    assert machine.jobs.requested[:2] == [("stop", DAG_PROCESSOR_UNIT), ("stop", AUTOSCALE_UNIT)]
    assert not machine.directory.service.exists()


def test_each_run_has_a_name_of_its_own(machine: Machine, start: Start) -> None:
    holders = set()
    for _ in range(2):
        machine.lease = Lease()
        machine.reporter, machine.watcher, machine.probe = FakeReporter(), FakeWatcher(), FakeProbe()
        machine.groups.schedulers.clear()
        machine.told.clear()
        scheduler = machine.scheduler(start)

        def story(scheduler: Scheduler = scheduler) -> None:
            scheduler.epoch()
            holders.add(machine.lease.held_by)

        machine.runs(story)
    assert len(holders) == 2
    assert all(holder.startswith("a/") for holder in holders)
