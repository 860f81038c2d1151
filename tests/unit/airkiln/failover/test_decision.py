"""What a controller does next: one case a rule. Whole histories are test_simulation.py's."""

from __future__ import annotations

from dataclasses import dataclass, replace

from airkiln.failover.config import Timings
from airkiln.failover.decision import decide, wake_at
from airkiln.failover.model import (
    Abandon,
    Action,
    BlockingLock,
    DumpStacks,
    Exit,
    Failure,
    Kill,
    Note,
    Observation,
    OpenGate,
    Operation,
    Phase,
    Progress,
    Reply,
    ReportUnhealthy,
    Request,
    StartFollowers,
    State,
)

T = Timings()
PID = 4242


@dataclass(frozen=True)
class Row:
    """A View."""

    holder: str = "b/1"
    epoch: int = 6
    remaining: float = 3.5
    paused: bool = False
    switchover_to: str | None = None
    standbys: int = 1


class Host:
    """One controller, asked step by step."""

    def __init__(self, now: float = 1000.0) -> None:
        self.state = State("a", "a/1")
        self.observed = Observation(now, warm=PID)
        self.said: list[Note] = []
        self.answers_progress = True
        """Whether questions for the scheduler's progress are answered at once, and not seen by the test."""

    def goes(self, **changes: object) -> list[Action]:
        """One step; the notes are kept apart."""
        self.observed = replace(self.observed, **{"reply": None, "notified": False, **changes})  # type: ignore[arg-type]  # of Observation's fields
        decision = decide(self.state, self.observed, T)
        self.state = decision.state
        self.said += [action for action in decision.actions if isinstance(action, Note)]
        actions: list[Action] = [each for each in decision.actions if not isinstance(each, Note)]
        asked = self.state.in_flight
        if self.answers_progress and asked and asked in actions and asked.operation is Operation.PROGRESS:
            actions.remove(asked)
            healthy = Progress(None, locked=False, busy=False)
            actions += self.goes(reply=Reply(asked, progress=healthy))
        return actions

    def after(self, seconds: float, **changes: object) -> list[Action]:
        return self.goes(now=self.observed.now + seconds, **changes)

    def hears(self, after: float = 0.005, **answer: object) -> list[Action]:
        call = self.state.in_flight
        assert call is not None
        return self.after(after, reply=Reply(call, **answer))  # type: ignore[arg-type]  # of Reply's fields

    def events(self) -> list[str]:
        return [note.event for note in self.said]

    def leads(self) -> Host:
        self.goes()
        self.hears(view=Row(remaining=-1.0))
        self.hears(number=7)
        self.hears(number=1)
        self.after(T.fence_interval)
        self.hears(number=0)
        self.after(T.fence_interval)
        self.hears(number=0)
        actions = self.hears(number=1)
        assert actions == [OpenGate(PID, 7), StartFollowers()]
        self.observed = replace(self.observed, warm=None, alive=PID)
        return self

    def renews(self, done: bool = True, **row: object) -> list[Action]:
        """The next renewal, answered."""
        if self.state.in_flight is None:
            self.goes(now=max(self.observed.now, self.state.due_at))
        call = self.state.in_flight
        assert call is not None
        assert call.operation is Operation.RENEW
        view = Row(holder="a/1" if done else "b/1", epoch=7 if done else 8, **row)  # type: ignore[arg-type]  # of Row's fields
        return self.hears(view=view, done=done)


def calls(actions: list[Action]) -> list[Operation]:
    return [action.operation for action in actions if isinstance(action, Request)]


def test_a_standby_asks_once_a_second() -> None:
    host = Host()
    assert host.goes() == [Request(Operation.POLL, ready=True)]
    assert host.hears(view=Row()) == []
    assert wake_at(host.state, T) == 1001.0
    assert host.after(0.5) == []
    assert calls(host.after(0.5)) == [Operation.POLL]


def test_a_notification_has_it_ask_at_once() -> None:
    host = Host()
    host.goes()
    host.hears(view=Row())
    assert calls(host.after(0.1, notified=True)) == [Operation.POLL]


def test_a_lease_that_ends_between_two_questions_is_asked_for_when_it_ends() -> None:
    host = Host()
    host.goes()
    host.hears(view=Row(remaining=0.3))
    assert wake_at(host.state, T) < 1000.4
    assert calls(host.after(0.31)) == [Operation.ACQUIRE]


def test_a_host_that_is_not_warm_leaves_a_free_lease_alone_and_takes_it_when_it_is_warm() -> None:
    host = Host()
    assert host.goes(warm=None) == [Request(Operation.POLL, ready=False)]
    assert host.hears(view=Row(remaining=-1.0)) == []
    assert wake_at(host.state, T) == 1001.0
    assert calls(host.after(0.1, warm=PID)) == [Operation.ACQUIRE]


def test_the_gate_opens_after_two_fences_in_a_row_found_nothing() -> None:
    host = Host()
    host.goes()
    assert calls(host.hears(view=Row(remaining=-1.0))) == [Operation.ACQUIRE]
    assert calls(host.hears(number=7)) == [Operation.FENCE]
    for left in (2, 0, 1, 0):
        assert host.hears(number=left) == []
        assert calls(host.after(T.fence_interval)) == [Operation.FENCE]
    assert calls(host.hears(number=0)) == [Operation.ADOPT]
    assert host.hears(number=1) == [OpenGate(PID, 7), StartFollowers()]


def test_what_is_lost_between_grant_and_gate_gives_the_grant_up() -> None:
    host = Host()
    host.goes()
    host.hears(view=Row(remaining=-1.0))
    host.hears(number=7)
    assert calls(host.hears(failure=Failure.UNAVAILABLE, text="gone")) == [Operation.RELEASE]


def test_a_grant_whose_answer_was_lost_is_released_before_another_is_asked_for() -> None:
    host = Host()
    host.goes()
    host.hears(view=Row(remaining=-1.0))
    assert Abandon() in host.after(T.call_timeout)
    assert calls(host.after(0.6)) == [Operation.POLL]
    actions = host.hears(view=Row(holder="a/1", epoch=7, remaining=3.0))
    assert [(call.operation, call.epoch) for call in actions if isinstance(call, Request)] == [
        (Operation.RELEASE, 7)
    ]
    assert "orphan" in host.events()


def test_a_standby_waits_longer_for_a_database_that_is_slow_to_let_it_in() -> None:
    host = Host()
    host.goes()
    for limit in (1.0, 2.0, 4.0, 4.0):
        assert wake_at(host.state, T) == host.observed.now + limit
        assert host.after(limit - 0.01) == []
        assert host.after(0.01) == [Abandon()]
        assert calls(host.after(T.poll_interval / 2)) == [Operation.POLL]
    assert calls(host.hears(after=3.5, view=Row())) == [Operation.POLL]
    assert Abandon() in host.after(T.call_timeout)


def test_a_leader_waits_no_longer_for_its_renewal_however_long_it_waited_for_a_poll() -> None:
    host = Host()
    host.goes()
    host.after(T.call_timeout)
    host.after(T.poll_interval / 2)
    assert calls(host.hears(after=1.5, view=Row(remaining=-1.0))) == [Operation.ACQUIRE]
    assert Abandon() in host.after(T.call_timeout)


def test_a_leader_renews_twice_a_second() -> None:
    host = Host().leads()
    for _ in range(4):
        sent = host.state.due_at
        host.renews()
        assert host.state.due_at == max(sent, host.state.renewed_at) + T.renew_interval


def test_without_a_good_renewal_the_scheduler_is_killed_at_the_deadline() -> None:
    host = Host().leads()
    good = host.state.renewed_at
    host.renews()
    assert host.state.renewed_at > good
    while Kill() not in (actions := host.goes(now=wake_at(host.state, T))):
        assert host.observed.now < host.state.renewed_at + T.self_fence_deadline
        if host.state.in_flight:
            host.hears(failure=Failure.UNAVAILABLE, text="refused")
    assert host.observed.now == host.state.renewed_at + T.self_fence_deadline
    assert Kill() in actions


def test_the_watchdog_starves_while_what_the_lease_no_longer_covers_still_runs() -> None:
    host = Host().leads()
    assert host.state.may_feed_watchdog(host.observed, T)
    late = replace(host.observed, now=host.state.renewed_at + T.self_fence_deadline)
    assert not host.state.may_feed_watchdog(late, T)
    host.goes(now=late.now)
    host.observed = replace(host.observed, killed=False, alive=None)
    assert not host.state.may_feed_watchdog(host.observed, T)
    host.after(0.01, killed=True)
    host.hears(failure=Failure.UNAVAILABLE, text="refused")
    assert host.state.may_feed_watchdog(host.observed, T)


def test_a_refused_renewal_kills_at_once_and_releases_nothing() -> None:
    host = Host().leads()
    assert host.renews(done=False) == [Kill()]
    host.observed = replace(host.observed, alive=None)
    assert calls(host.after(0.01, killed=True)) == [Operation.POLL]


def test_a_dead_scheduler_gives_the_lease_up_once_nothing_of_it_is_left() -> None:
    host = Host().leads()
    assert host.after(0.1, alive=None, killed=True) == [Kill()]
    assert host.after(0.01, killed=False) == []
    assert calls(host.after(0.01, killed=True)) == [Operation.RELEASE]


def test_what_gave_the_lease_away_leaves_it_to_a_host_that_is_ready() -> None:
    host = Host().leads()
    host.after(0.1, alive=None)
    host.after(0.01, killed=True)
    host.hears(done=True)
    assert host.state.in_flight is not None
    assert host.hears(view=Row(remaining=-1.0, standbys=1), after=0.01) == []
    host.observed = replace(host.observed, warm=PID + 1)
    assert calls(host.after(1.0)) == [Operation.POLL]
    assert calls(host.hears(view=Row(remaining=-1.0, standbys=0))) == [Operation.ACQUIRE]


def test_a_switchover_is_refused_while_nobody_is_ready_and_the_request_is_dropped() -> None:
    host = Host().leads()
    actions = host.renews(switchover_to="*", standbys=0)
    assert calls(actions) == [Operation.CANCEL_SWITCHOVER]
    assert host.events()[-1] == "switchover-refused"


def test_a_switchover_kills_and_releases_when_somebody_is_ready() -> None:
    host = Host().leads()
    assert host.renews(switchover_to="*") == [Kill()]


def test_a_switchover_to_the_leader_itself_is_dropped() -> None:
    host = Host().leads()
    assert calls(host.renews(switchover_to="a")) == [Operation.CANCEL_SWITCHOVER]


def test_another_host_is_given_a_moment_when_it_was_asked_for_by_name() -> None:
    host = Host()
    host.goes()
    assert host.hears(view=Row(remaining=-1.0, switchover_to="c")) == []
    assert calls(host.after(T.poll_interval)) == [Operation.ACQUIRE]


def test_an_instance_that_ends_hands_over_early_but_only_to_somebody() -> None:
    host = Host().leads()
    host.renews(standbys=0)
    host.observed = replace(host.observed, leaving="a Spot notice")
    assert host.renews(standbys=0) == []
    assert host.renews(standbys=1) == [Kill()]


def test_paused_nothing_is_taken_and_nothing_given_up() -> None:
    host = Host()
    host.goes()
    assert host.hears(view=Row(remaining=-1.0, paused=True)) == []
    leader = Host().leads()
    leader.observed = replace(leader.observed, stuck="stopped", leaving="a Spot notice")
    assert leader.renews(paused=True, switchover_to="*") == []


def test_a_stuck_scheduler_writes_its_stacks_and_is_killed() -> None:
    host = Host().leads()
    host.renews()
    assert DumpStacks(PID) in host.after(0.1, stuck="no heartbeat")
    assert Kill() in host.after(T.dump_timeout)


def test_the_second_time_it_was_stuck_the_instance_is_unhealthy_if_another_host_is_ready() -> None:
    for standbys, reported in ((1, True), (0, False)):
        host = Host().leads()
        host.renews(standbys=standbys)
        host.state = replace(host.state, failures=(host.observed.now - 60,))
        host.after(0.1, stuck="no heartbeat")
        actions = host.after(T.dump_timeout)
        assert any(isinstance(action, ReportUnhealthy) for action in actions) is reported


def test_nothing_is_stuck_while_the_database_is_away() -> None:
    host = Host().leads()
    host.renews()
    host.goes(now=host.state.due_at)
    host.hears(failure=Failure.UNAVAILABLE, text="refused", after=0.01)
    assert host.after(0.01, stuck="no heartbeat") == []


def test_a_blocking_lock_is_named_once_and_its_session_ended_past_the_limit() -> None:
    host = Host().leads()
    lock = BlockingLock(99, "3/7", "psql of airflow holds the critical section")
    began = host.observed.now
    ended: Request | None = None
    while ended is None and host.observed.now < began + 30:
        host.after(0.05)
        while ended is None and (call := host.state.in_flight):
            if call.operation is Operation.END_SESSION:
                ended = call
            elif call.operation is Operation.RENEW:
                host.hears(view=Row("a/1", 7), done=True)
            else:
                host.hears(locks=(lock,))
    assert ended is not None
    assert (ended.pid, ended.transaction) == (99, "3/7")
    assert T.blocking_lock_timeout <= host.observed.now - began < T.blocking_lock_timeout + 5
    assert host.events().count("blocking-lock") == 1


def test_at_rest_a_host_asks_less_than_three_times_a_second() -> None:
    host = Host().leads()
    began, asked = host.observed.now, 0
    while host.observed.now < began + 60:
        if host.state.in_flight is None:
            host.goes(now=max(host.observed.now, host.state.due_at) + 0.001)
        while call := host.state.in_flight:
            asked += 1
            if call.operation is Operation.RENEW:
                host.hears(view=Row("a/1", 7), done=True)
            else:
                host.hears(locks=())
    assert asked / 60 <= 3


def test_a_controller_that_is_stopped_hands_over_before_it_leaves() -> None:
    host = Host().leads()
    assert host.after(0.1, stopping=True) == [Kill()]
    assert calls(host.after(0.01, killed=True, alive=None)) == [Operation.RELEASE]
    assert host.hears(done=True) == [Exit()]


def test_an_outage_is_told_at_its_beginning_once_a_minute_and_at_its_end() -> None:
    host = Host()
    end = host.observed.now + 600
    host.goes()
    while host.observed.now < end:
        if host.state.in_flight:
            host.hears(failure=Failure.UNAVAILABLE, text="connection refused", after=0.01)
        host.goes(now=max(wake_at(host.state, T), host.observed.now))
    host.hears(view=Row())
    assert host.events().count("database-lost") in (10, 11)
    assert host.events()[-1] == "database-back"


def test_the_clock_s_origin_does_not_matter() -> None:
    assert Host(now=0.0).leads().state.phase is Host(now=9e7).leads().state.phase is Phase.LEADING
