"""What is in a host's way and not its fault: locks, failing statements, a pause, and what others left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airkiln.failover.decision import wake_at
from airkiln.failover.leading import ADOPT_EVERY
from airkiln.failover.model import BlockingLock, Failure, OpenGate, Operation, Phase, Progress, Request
from airkiln.failover.step import LONGEST_BACK_OFF
from tests.unit.airkiln.failover.test_decision import PID, Host, Row, T, calls
from tests.unit.airkiln.failover.test_leading import FIRST, Watched, adopting

WORKERS = BlockingLock(98, "4/1", "airflow_worker holds the critical section", at_once=True)


# Progress


def asking() -> Host:
    """A leader whose question for its scheduler's progress is in flight."""
    host = Host()
    host.answers_progress = False
    host.leads()
    while host.state.in_flight is None or host.state.in_flight.operation is not Operation.PROGRESS:
        if host.state.in_flight is None:
            host.goes(now=host.state.due_at)
        else:
            host.hears(view=Row("a/1", 7), done=True)
    return host


def test_a_leader_asks_for_its_schedulers_progress_every_two_seconds() -> None:
    host = asking()
    first = host.state.sent_at
    assert host.state.in_flight == Request(Operation.PROGRESS, 7)
    host.hears(progress=Progress(None, locked=False, busy=False))
    assert not host.state.unseen
    assert host.state.progress_due_at == first + 2.0


def test_a_leader_at_rest_sends_three_statements_a_second() -> None:
    host = Host()
    host.answers_progress = False
    host.leads()
    sent: list[Operation] = []
    begun = host.state.sent_at
    while host.observed.now < begun + 60:
        request = host.state.in_flight
        if request is None:
            host.goes(now=wake_at(host.state, T))
            continue
        sent.append(request.operation)
        host.hears(view=Row("a/1", 7), done=True, progress=Progress(None, False, False))
    assert 3 * 60 - 6 <= len(sent) <= 3 * 60 + 6


@pytest.mark.parametrize(
    "answer",
    [{"failure": Failure.UNAVAILABLE, "text": "too slow"}, {"progress": Progress(None, True, False)}],
    ids=["failed", "locked"],
)
def test_progress_that_cannot_be_seen_costs_no_lease_and_counts_against_nobody(
    answer: dict[str, Any],
) -> None:
    host = asking()
    host.hears(**answer)
    assert host.state.unseen
    assert (host.state.phase, host.state.lost_at) == (Phase.LEADING, None)
    assert calls(host.goes(now=host.state.due_at)) == [Operation.RENEW]


def test_a_question_that_hangs_leaves_time_for_two_renewals_before_the_deadline() -> None:
    host = asking()
    assert calls(host.after(T.call_timeout + 0.001)) == [Operation.RENEW]
    assert host.state.sent_at + T.call_timeout < host.state.renewed_at + T.self_fence_deadline


# Adoption


def test_an_adoption_that_a_lock_is_in_the_way_of_is_tried_again_and_the_lease_kept() -> None:
    host = adopting()
    assert not any(isinstance(action, OpenGate) for action in host.hears(number=None))
    assert host.events().count("adoption-waits") == 1
    assert wake_at(host.state, T) <= host.observed.now + ADOPT_EVERY
    assert calls(host.after(ADOPT_EVERY)) == [Operation.ADOPT]
    host.hears(number=None)
    assert host.events().count("adoption-waits") == 1
    assert host.state.phase is Phase.ADOPTING
    host.after(ADOPT_EVERY)
    assert OpenGate(PID, 7) in host.hears(number=2)


def test_who_locks_the_table_of_jobs_is_ended_when_it_is_late() -> None:
    host = adopting()
    sent = []
    while host.state.phase is Phase.ADOPTING and Operation.END_SESSION not in sent:
        request = host.state.in_flight
        if request is None:
            host.goes(now=wake_at(host.state, T))
            continue
        sent.append(request.operation)
        renewal = request.operation is Operation.RENEW
        host.hears(view=Row("a/1", 7) if renewal else None, done=True, locks=(FIRST,), number=None)
    assert sent[-1] is Operation.END_SESSION
    assert "blocking-lock-ended" in host.events()


# Locks of workers


def test_a_workers_lock_is_ended_as_soon_as_it_is_seen_and_looked_for_again_soon() -> None:
    watched = Watched(WORKERS).run(3.0)
    asked, ended = watched.at(Operation.BLOCKING_LOCKS), watched.at(Operation.END_SESSION)
    assert ended[0] - asked[0] < T.renew_interval + 0.1
    assert 4 < len(ended) < 20


def test_while_paused_not_even_a_workers_lock_is_ended() -> None:
    host = Host().leads()
    for _ in range(30):
        host.goes(now=wake_at(host.state, T))
        while request := host.state.in_flight:
            assert request.operation is not Operation.END_SESSION
            renewal = request.operation is Operation.RENEW
            view = Row("a/1", 7, paused=True) if renewal else None
            host.hears(view=view, done=True, locks=(WORKERS, FIRST))


# Takeovers that fail


def test_the_pause_after_a_takeover_that_failed_doubles_up_to_the_longest() -> None:
    host = Host()
    pauses = []
    for epoch in range(7, 14):
        while host.state.in_flight is None or host.state.in_flight.operation is not Operation.ACQUIRE:
            if host.state.in_flight is None:
                host.goes(now=wake_at(host.state, T))
            elif host.state.in_flight.operation is Operation.RELEASE:
                host.hears(done=True)
            else:
                host.hears(view=Row("a/1", epoch - 1, remaining=-1.0, standbys=0))
        host.hears(number=epoch)
        host.hears(failure=Failure.UNAVAILABLE, text="a statement fails")
        pauses.append(host.state.retry_at - host.observed.now)
    assert pauses == pytest.approx([0.5, 1, 2, 4, LONGEST_BACK_OFF, LONGEST_BACK_OFF, LONGEST_BACK_OFF])


def test_a_takeover_that_succeeds_ends_the_count() -> None:
    host = Host()
    host.state = replace(host.state, failed_takeovers=5)
    host.leads()
    assert host.state.failed_takeovers == 0


# What others left, and a pause


def gave_up() -> Host:
    """A warm host that gave epoch 7 up a moment ago."""
    host = Host().leads()
    host.renews()
    host.after(0.1, alive=None)
    host.after(0.01, killed=True)
    host.observed = replace(host.observed, warm=9)
    host.hears(done=True)
    return host


def test_a_lease_that_another_host_has_led_since_is_not_left_to_it_once_more() -> None:
    assert calls(gave_up().hears(view=Row("b/1", 8, remaining=0.0, standbys=1))) == [Operation.ACQUIRE]
    assert calls(gave_up().hears(view=Row("a/1", 7, remaining=0.0, standbys=1))) == []


def test_while_paused_the_host_that_led_last_takes_its_lease_back_without_yielding() -> None:
    host = gave_up()
    row = Row("a/another-run", 7, remaining=0.0, standbys=1, paused=True, switchover_to="b")
    assert calls(host.hears(view=row)) == [Operation.ACQUIRE]


@pytest.mark.parametrize("holder", ["b/1", "", "a2/1", "a/1/2"])
def test_while_paused_a_lease_of_another_host_is_left_alone(holder: str) -> None:
    assert calls(gave_up().hears(view=Row(holder, 7, remaining=0.0, paused=True, standbys=0))) == []
