"""The loop around the decision: what it looks at, what it does and says, and what it leaves alone."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from airkiln.autoscale import daemon
from airkiln.autoscale.amazon import Usage
from airkiln.autoscale.apply import Applier
from airkiln.autoscale.daemon import Daemon
from airkiln.autoscale.figures import Figures
from airkiln.autoscale.settings import Settings
from airkiln.errors import DeniedError, NotReadyError, RefusedError, UnavailableError
from airkiln.host.layout import Layout
from tests.unit.airkiln.autoscale.fakes import AwsError, Clock, FakeCloud, FakeDatabase, queued, running

GROUP = "airkiln-prod-worker-default"
POOLS = '{"default": {"slots": 4, "cooldown": 60}}'
AWAY = UnavailableError("database airflow at db:5432: no answer")


class Host:
    """A leader's host, whose clock only the test moves."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.layout.run_env.parent.mkdir(parents=True)
        self.load(POOLS)
        self.cloud, self.database, self.clock = FakeCloud(), FakeDatabase(), Clock()
        self.applier = Applier("prod", self.cloud, self.database.leads, self.clock)
        self.figures = Figures("prod", self.cloud, self.clock)
        self.daemon = Daemon(Settings(self.layout), self.database, self.applier, self.figures)

    def load(self, pools: str) -> None:
        """As the boot path does: another file in its place."""
        draft = self.layout.run_env.with_name("draft")
        escaped = pools.replace('"', '\\"')
        draft.write_text(f'AIRKILN_POOLS="{escaped}"\n')
        draft.replace(self.layout.run_env)

    def turns(self, seconds: float = 0.0) -> None:
        self.daemon.turn()
        until = self.clock.now + seconds
        while self.clock.now < until:
            self.clock.now += daemon.EVERY
            self.daemon.turn()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    for name in ("JOURNAL_STREAM", "NOTIFY_SOCKET"):
        monkeypatch.delenv(name, raising=False)
    made = Host(tmp_path)
    made.cloud.add(GROUP, 0)
    return made


def said(capsys: pytest.CaptureFixture[str], event: str) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith(f"event={event} ")]


def test_the_first_task_brings_a_worker(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.database.counted = [queued(5, oldest=2.0)]
    host.turns()
    assert host.cloud.calls == [("set_desired", GROUP, 2)]
    assert said(capsys, "decided") == [
        "event=decided pool=default decision=scale-out capacity=2 wanted=2 peak=2 queued=5 running=0 "
        "oldest=2 "
        "desired=0 serving=0 min=0 max=10 cpu=unknown memory=unknown reason=5 tasks need 2 workers"
    ]


def test_idle_workers_end_after_the_cool_down(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.cloud.add(GROUP, 2)
    host.database.counted = [running(1, "10.0.0.1")]
    host.turns(50)
    assert [call for call in host.cloud.calls if call[0] == "terminate"] == []
    host.turns(10)
    assert [call for call in host.cloud.calls if call[0] == "terminate"] == [("terminate", "i-2")]
    assert "event=terminated pool=default instance=i-2 " in capsys.readouterr().err


def test_a_refused_termination_is_made_again_in_the_next_cycle(host: Host) -> None:
    host.cloud.add(GROUP, 1)
    host.cloud.fails = {"terminate": AwsError("ScalingActivityInProgress")}
    host.turns(60)
    host.turns(10)
    assert host.cloud.calls == [("terminate", "i-1")] * 3


def test_a_worker_whose_termination_was_refused_is_protected_as_soon_as_it_has_a_task(host: Host) -> None:
    host.cloud.add(GROUP, 1)
    host.cloud.fails = {"terminate": AwsError("ScalingActivityInProgress")}
    host.turns(60)
    host.database.counted = [running(1, "10.0.0.1")]
    host.cloud.calls.clear()
    host.turns()
    assert host.cloud.calls == [("protect", GROUP, ("i-1",))]


def test_a_decision_that_stays_is_told_once_a_minute(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.cloud.add(GROUP, 1)
    host.database.counted = [running(1, "10.0.0.1")]
    host.turns(300)
    assert len(said(capsys, "decided")) == 6


def test_a_pool_at_rest_says_so_once(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.turns(300)
    assert len(said(capsys, "decided")) <= 1


def test_who_does_not_lead_looks_at_nothing(host: Host) -> None:
    host.database.lead = [False]
    host.database.counted = [queued(5)]
    host.cloud.fails = {"groups": AssertionError("asked")}
    host.turns(60)
    assert host.cloud.calls == []


def test_who_leads_again_begins_the_cool_down_anew(host: Host) -> None:
    host.cloud.add(GROUP, 1)
    host.turns(50)
    host.database.lead = [False]
    host.turns()
    host.database.lead = [True]
    host.turns(50)
    assert host.cloud.calls == []
    host.turns(10)
    assert host.cloud.calls == [("terminate", "i-1")]


def test_a_leader_lost_in_the_middle_of_a_scale_in_stops_there(host: Host) -> None:
    host.cloud.add(GROUP, 3)
    host.turns(50)
    host.clock.now += 10
    host.database.lead = [True, True, False]
    host.daemon.turn()
    assert len(host.cloud.calls) == 1, "the look, the first call, and then no more"


@pytest.mark.parametrize("what", ["lease", "count"])
def test_without_the_database_capacity_stays(
    host: Host, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    host.cloud.add(GROUP, 3)
    host.turns(40)
    if what == "lease":
        host.database.lead = [AWAY]
    else:
        host.database.away = AWAY
    host.turns(600)
    assert host.cloud.calls == []
    told = capsys.readouterr().err
    assert told.count("event=database-away ") <= 2
    assert "decision=unknown" in told
    assert "capacity stays" in told


def test_a_login_that_is_refused_ends_the_run_so_that_the_next_one_reads_it_again(host: Host) -> None:
    host.database.lead = [DeniedError("airkiln_controller may not log in")]
    with pytest.raises(DeniedError):
        host.turns()


def test_without_aws_nothing_is_done_and_the_loop_goes_on(host: Host) -> None:
    host.database.counted = [queued(4)]
    host.cloud.fails = {"groups": AwsError("Throttling")}
    host.turns(30)
    assert host.cloud.calls == []
    host.cloud.fails = {}
    host.turns()
    assert host.cloud.calls == [("set_desired", GROUP, 1)]


def test_a_pool_without_its_group_holds_up_no_other(host: Host) -> None:
    host.load('{"batch": {"slots": 1}, "default": {"slots": 4}}')
    host.database.counted = [queued(4), queued(1, "batch")]
    host.turns()
    assert host.cloud.calls == [("set_desired", GROUP, 1)]


def test_settings_that_were_loaded_again_hold_from_the_next_cycle(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.turns()
    host.load('{"default": {"slots": 1}}')
    host.database.counted = [queued(4)]
    host.turns()
    assert host.cloud.calls == [("set_desired", GROUP, 4)]
    assert len(said(capsys, "settings")) == 1


def test_settings_that_are_refused_change_nothing(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.load('{"default": {"slots": 0}}')
    host.database.counted = [queued(4)]
    host.turns(60)
    assert host.cloud.calls[0] == ("set_desired", GROUP, 1)
    told = said(capsys, "refused")
    assert len(told) == 1
    assert "default.slots: must be a whole number" in told[0]


def test_two_pools_on_one_queue_start_nothing(host: Host) -> None:
    host.load('{"a": {"slots": 1, "queues": ["x"]}, "b": {"slots": 1, "queues": ["x"]}}')
    with pytest.raises(RefusedError, match="two pools on one queue"):
        Settings(host.layout)


def test_before_the_boot_path_was_there_nothing_starts(tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="airkiln-boot"):
        Settings(Layout(tmp_path))


def test_a_queue_of_no_pool_is_told(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.database.counted = [queued(2, "gpu")]
    host.turns(60)
    told = said(capsys, "no-pool")
    assert len(told) == 1
    assert "queue=gpu queued=2" in told[0]


def test_cpu_beyond_the_limit_adds_a_worker(host: Host) -> None:
    host.cloud.add(GROUP, 1)
    host.cloud.used = {GROUP: Usage(cpu=97.0)}
    host.database.counted = [running(1, "10.0.0.1")]
    host.turns()
    host.figures.turn()
    host.turns()
    assert ("set_desired", GROUP, 2) in host.cloud.calls


def test_each_cycle_offers_its_figures(host: Host) -> None:
    host.database.counted = [queued(3)]
    host.turns()
    host.figures.turn()
    assert {each["MetricName"]: each["Value"] for each in host.cloud.published}["WantedWorkers"] == 1.0


def test_workers_that_do_not_come_are_published(host: Host) -> None:
    host.cloud.add(GROUP, 2)
    host.cloud.held[GROUP] = replace(host.cloud.held[GROUP], desired=5)
    host.turns()
    host.figures.turn()
    of_environment = [each for each in host.cloud.published if len(each["Dimensions"]) == 1]
    assert [(each["MetricName"], each["Value"]) for each in of_environment] == [("MissingWorkers", 3.0)]


def test_a_wall_clock_that_jumps_changes_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.cloud.add(GROUP, 1)
    host.turns(30)
    monkeypatch.setattr("airkiln.autoscale.daemon.time.time", lambda: 0.0)
    host.turns(20)
    assert host.cloud.calls == []
    monkeypatch.setattr("airkiln.autoscale.daemon.time.time", lambda: 4e9)
    host.turns(10)
    assert host.cloud.calls == [("terminate", "i-1")], "by the clock that only runs"


def test_it_stops_between_two_cycles(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.figures, "start", lambda: None)
    turned = []

    def turn() -> None:
        turned.append(1)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(host.daemon, "turn", turn)
    host.daemon.run()
    assert turned == [1]


def test_the_group_is_looked_at_before_the_tasks_are_counted(host: Host) -> None:
    """A worker that has just taken a task is observed busy: the tasks are the fresher of the two."""
    order: list[str] = []
    host.cloud.on_look = lambda: order.append("groups")
    host.database.on_count = lambda: order.append("tasks")
    host.turns()
    assert order == ["groups", "tasks"]


def test_the_groups_own_bounds_are_read_each_cycle(host: Host) -> None:
    host.database.counted = [queued(40)]
    host.cloud.held[GROUP] = replace(host.cloud.held[GROUP], max=1)
    host.turns()
    host.cloud.held[GROUP] = replace(host.cloud.held[GROUP], max=3)
    host.turns()
    assert host.cloud.calls == [("set_desired", GROUP, 1), ("set_desired", GROUP, 3)]
