"""A host that holds the lease: why it gives it up, and what it does between two renewals."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from airkiln.failover.decision import wake_at
from airkiln.failover.model import (
    BlockingLock,
    DumpStacks,
    Kill,
    ObservedLock,
    OpenGate,
    Operation,
    ReportUnhealthy,
    Request,
    StartFollowers,
)
from airkiln.systemd.journal import ERROR, NOTICE, WARNING
from tests.unit.airkiln.failover.test_decision import PID, Host, Row, T, calls

FIRST = BlockingLock(99, "3/7", "psql holds the critical section")
SECOND = BlockingLock(99, "3/8", "psql holds a DAG run")


def adopting() -> Host:
    """A host whose adoption of dead scheduler jobs is in flight."""
    host = Host()
    host.goes()
    host.hears(view=Row(remaining=-1.0))
    host.hears(number=7)
    host.hears(number=0)
    host.after(0.01)
    host.hears(number=0)
    return host


class Watched:
    """A leader that is shown these locks, every time that it asks."""

    def __init__(self, *locks: BlockingLock) -> None:
        self.host = Host().leads()
        self.locks = locks
        self.sent: list[tuple[float, Request]] = []

    def run(self, seconds: float) -> Watched:
        until = self.host.observed.now + seconds
        while self.host.observed.now < until:
            self.host.after(0.05)
            while request := self.host.state.in_flight:
                self.sent.append((self.host.observed.now, request))
                renewal = request.operation is Operation.RENEW
                self.host.hears(view=Row("a/1", 7) if renewal else None, done=True, locks=self.locks)
        return self

    def at(self, operation: Operation) -> list[float]:
        return [at for at, request in self.sent if request.operation is operation]


@pytest.mark.parametrize(
    ("changes", "reason", "priority"),
    [
        ({"alive": None}, "the scheduler died", WARNING),
        ({"alive": PID + 1}, "the scheduler died", WARNING),
        ({"stopping": True}, "the controller stops", NOTICE),
        ({"leaving": "a Spot notice"}, "this instance ends: a Spot notice", NOTICE),
    ],
)
def test_why_a_leader_gives_up_is_reported(changes: dict[str, object], reason: str, priority: int) -> None:
    host = Host().leads()
    host.renews()
    assert Kill() in host.after(0.01, **changes)
    assert (host.said[-1].event, host.said[-1].reason, host.said[-1].priority) == (
        "gives-up",
        reason,
        priority,
    )


@pytest.mark.parametrize(("target", "words"), [("*", "any host"), ("b", "b")])
def test_a_switchover_is_reported_with_its_target(target: str, words: str) -> None:
    host = Host().leads()
    assert Kill() in host.renews(switchover_to=target)
    assert host.said[-1].reason == f"a switchover to {words} was requested"
    assert host.said[-1].priority == NOTICE


def test_no_renewal_until_the_self_fence_deadline_is_reported() -> None:
    host = Host().leads()
    host.goes(now=host.state.renewed_at + 2.5)
    assert ("no renewal for 2.5 s", WARNING) in [(note.reason, note.priority) for note in host.said]


def test_a_host_that_fences_gives_up_without_a_scheduler_at_its_gate() -> None:
    host = adopting()
    host.after(0.001, warm=None)
    assert host.said[-1].reason == "the scheduler that waited at the gate is gone"
    assert host.said[-1].priority == WARNING


@pytest.mark.parametrize("changes", [{"warm": None}, {"stopping": True}])
def test_the_gate_stays_closed_where_nothing_may_run(changes: dict[str, object]) -> None:
    host = adopting()
    host.observed = replace(host.observed, **changes)  # type: ignore[arg-type]  # of Observation's fields
    assert calls(host.hears(number=1)) == [Operation.RELEASE]
    assert not any(note.event == "leads" for note in host.said)


def test_the_gate_stays_closed_from_the_self_fence_deadline_on() -> None:
    host = adopting()
    late = host.state.renewed_at + 2.5 - host.observed.now
    assert not any(isinstance(action, OpenGate) for action in host.hears(after=late, number=1))


@pytest.mark.parametrize(("number", "words"), [(3, "3 dead"), (0, "0 dead")])
def test_a_takeover_is_reported_and_counted(number: int, words: str) -> None:
    host = adopting()
    host.hears(number=number)
    assert host.said[-1].reason == f"process {PID}, {words} scheduler jobs marked failed"
    assert (host.said[-1].event, host.said[-1].priority) == ("leads", NOTICE)
    assert host.state.takeovers == 1


def test_a_renewal_says_that_this_host_is_ready() -> None:
    host = Host().leads()
    assert host.goes(now=host.state.due_at) == [Request(Operation.RENEW, 7, ready=True)]


def test_a_scheduler_that_recovers_is_not_given_up_for_what_was_before() -> None:
    host = Host().leads()
    host.renews()
    assert DumpStacks(PID) in host.after(0.01, stuck="no heartbeat")
    host.after(0.01, stuck=None)
    actions = host.after(0.5, stuck="no heartbeat")
    assert DumpStacks(PID) in actions
    assert Kill() not in actions


def test_a_pause_begins_the_time_of_a_stuck_scheduler_anew() -> None:
    host = Host().leads()
    host.renews()
    host.after(0.01, stuck="no heartbeat")
    host.renews(paused=True)
    host.observed = replace(host.observed, stuck="no heartbeat")
    actions = host.renews()
    assert DumpStacks(PID) in actions
    assert Kill() not in actions


def test_a_stuck_scheduler_has_half_a_second_for_its_stacks_and_the_controller_wakes_then() -> None:
    host = Host().leads()
    host.renews()
    host.goes(now=host.state.due_at)
    host.after(0.01, stuck="no heartbeat")
    assert (host.said[-1].reason, host.said[-1].priority) == ("no heartbeat: its stacks follow", ERROR)
    assert wake_at(host.state, T) == pytest.approx(host.observed.now + 0.5)
    assert host.after(0.49) == []
    assert Kill() in host.after(0.02)
    assert (host.said[-1].reason, host.said[-1].priority) == ("stuck: no heartbeat", ERROR)


@pytest.mark.parametrize(("age", "reported"), [(899.0, True), (900.0, False)])
def test_a_failure_counts_for_900_seconds(age: float, reported: bool) -> None:
    host = Host(now=5000.0).leads()
    host.renews()
    host.after(0.01, stuck="no heartbeat")
    host.state = replace(host.state, failures=(host.observed.now + 0.5 - age,))
    actions = host.after(0.5)
    reason = "the scheduler was stuck 2 times in 900 s"
    assert (ReportUnhealthy(reason) in actions) is reported
    assert (reason in [note.reason for note in host.said]) is reported
    assert len(host.state.failures) == (0 if reported else 1)


def test_locks_are_asked_for_every_two_seconds_from_the_takeover_on() -> None:
    watched = Watched()
    began = watched.host.observed.now
    asked = watched.run(9).at(Operation.BLOCKING_LOCKS)
    assert 2.0 <= asked[0] - began < 2.2
    assert all(2.0 <= later - earlier < 2.2 for earlier, later in pairwise(asked))


def test_a_lock_of_another_transaction_of_the_same_session_is_another_lock() -> None:
    watched = Watched(FIRST).run(2.2)
    watched.locks = (SECOND,)
    watched.run(2.0)
    assert "blocking-lock" not in watched.host.events()
    watched.run(2.2)
    assert watched.host.events().count("blocking-lock") == 1


def test_sessions_are_ended_one_by_one_8_seconds_after_their_locks_were_first_observed() -> None:
    watched = Watched(FIRST, SECOND).run(11)
    first = watched.at(Operation.BLOCKING_LOCKS)[0]
    ended = [(at, each) for at, each in watched.sent if each.operation is Operation.END_SESSION]
    assert [each.transaction for _, each in ended[:2]] == ["3/7", "3/8"]
    assert all(8.0 <= at - first < 8.3 for at, _ in ended[:2])
    notes = [note for note in watched.host.said if note.event == "blocking-lock-ended"]
    assert notes[0].reason.startswith("psql holds the critical section, held 8.")
    assert notes[0].priority == WARNING
    assert watched.host.events().count("blocking-lock") == 2


def test_a_switchover_that_was_cancelled_is_not_cancelled_again_before_the_next_renewal() -> None:
    host = Host().leads()
    assert calls(host.renews(switchover_to="a")) == [Operation.CANCEL_SWITCHOVER]
    assert host.hears(done=True) == []
    assert calls(host.goes(now=host.state.due_at)) == [Operation.RENEW]


def test_a_host_that_fences_goes_on_to_the_gate_whatever_would_end_a_leader() -> None:
    host = Host()
    host.goes()
    host.hears(view=Row(remaining=-1.0))
    host.hears(number=7)
    host.hears(number=2)
    assert calls(host.goes(now=host.state.due_at)) == [Operation.RENEW]
    assert calls(host.hears(view=Row("a/1", 7, switchover_to="*"), done=True)) == [Operation.FENCE]
    assert host.after(0.01, leaving="a Spot notice", stuck="no heartbeat") == []
    assert host.hears(number=2) == [], "nor does it ask for locks"
    assert "gives-up" not in host.events()


@pytest.mark.parametrize("due", [{"locks_due_at": 0.0}, {"progress_due_at": 0.0}])
def test_nothing_is_asked_beside_the_lease_while_the_database_is_out_of_reach(due: dict[str, Any]) -> None:
    host = Host().leads()
    host.answers_progress = False
    host.renews()
    host.state = replace(host.state, lost_at=host.observed.now, **due)
    assert host.after(0.01) == []


@pytest.mark.parametrize(
    ("due", "operation"),
    [("progress_due_at", Operation.PROGRESS), ("locks_due_at", Operation.BLOCKING_LOCKS)],
)
def test_what_is_asked_beside_the_lease_is_asked_from_the_moment_on_when_it_is_due(
    due: str, operation: Operation
) -> None:
    host = Host().leads()
    host.answers_progress = False
    host.renews()
    later = {"due_at": 3000.0, "progress_due_at": 3000.0, "locks_due_at": 3000.0, due: 2000.0}
    host.state = replace(host.state, renewed_at=2000.0, **later)  # type: ignore[arg-type]  # of State's fields
    assert host.goes(now=1999.5) == []
    assert calls(host.goes(now=2000.0)) == [operation]


@pytest.mark.parametrize(("seconds", "ended"), [(7.5, False), (8.0, True)])
def test_a_lock_is_late_from_the_eighth_second_on(seconds: float, ended: bool) -> None:
    host = Host().leads()
    host.renews()
    host.state = replace(
        host.state,
        locks=(ObservedLock(FIRST, 2000.0),),
        locks_due_at=3000.0,
        due_at=3000.0,
        renewed_at=2000.0 + seconds,
    )
    assert (calls(host.goes(now=2000.0 + seconds)) == [Operation.END_SESSION]) is ended
    assert host.state.locks_due_at == 3000.0, "nobody but a worker takes a lock again at once"


def cut_off_for(seconds: float) -> Host:
    """A leader to which nothing else happens, and that lost the broker when its clock said 2000."""
    host = Host().leads()
    host.renews()
    host.observed = replace(host.observed, broker_lost=True)
    host.state = replace(
        host.state,
        cut_off_at=2000.0,
        renewed_at=2000.0 + seconds,
        due_at=3000.0,
        locks_due_at=3000.0,
        progress_due_at=3000.0,
    )
    return host


@pytest.mark.parametrize(("seconds", "given_up"), [(59.5, False), (60.0, True)])
def test_a_leader_that_alone_is_cut_off_from_the_broker_is_given_up_after_60_seconds(
    seconds: float, given_up: bool
) -> None:
    host = cut_off_for(seconds)
    assert (Kill() in host.goes(now=2000.0 + seconds)) is given_up
    line = ("cut off from the broker for 60.0 s, and another host is not", WARNING)
    assert (line in [(note.reason, note.priority) for note in host.said]) is given_up


@pytest.mark.parametrize(
    ("lost", "view"),
    [(False, {}), (True, {"standbys": 0}), (True, {"paused": True})],
    ids=["the broker is back", "no other host is ready", "takeovers are paused"],
)
def test_the_60_seconds_of_a_leader_that_is_cut_off_begin_anew_after(
    lost: bool, view: dict[str, Any]
) -> None:
    host = cut_off_for(61.0)
    before = host.state.view
    host.state = replace(host.state, view=Row("a/1", 7, **view))
    assert host.goes(now=2050.0, broker_lost=lost) == []
    host.state = replace(host.state, view=before)
    assert host.goes(now=2061.0, broker_lost=True) == []
    assert host.state.cut_off_at == 2061.0


def test_nothing_of_an_earlier_lead_counts_against_a_scheduler_that_is_let_through() -> None:
    host = adopting()
    host.answers_progress = False
    host.state = replace(host.state, view=Row("a/1", 7), cut_off_at=1.0, progress_due_at=1.0, unseen=True)
    host.observed = replace(host.observed, broker_lost=True)
    assert host.hears(number=1) == [OpenGate(PID, 7), StartFollowers()]
    assert not host.state.unseen
    assert host.state.progress_due_at == host.observed.now + 1.0
