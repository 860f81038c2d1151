"""Each condition under which a controller acts, from both sides: with it and without."""

from __future__ import annotations

import pytest

from airkiln.failover.model import BlockingLock, Failure, Kill, Operation, Request
from tests.unit.airkiln.failover.test_decision import Host, Row, T, calls

LOCK = BlockingLock(99, "3/7", "psql of airflow holds the critical section")


def leader_waits_for(what: Operation) -> Host:
    """A leader whose call of this kind is under way."""
    host = Host().leads()
    while host.state.in_flight is None or host.state.in_flight.operation is not what:
        if host.state.in_flight:
            host.hears(view=Row("a/1", 7), done=True)
        else:
            host.after(0.05)
    return host


def leader_beside_a_lock(*, paused: bool = False) -> tuple[Host, list[Request]]:
    """A leader that is shown the same foreign lock for long enough, and what it called."""
    host = Host().leads()
    made: list[Request] = []
    until = host.observed.now + T.blocking_lock_timeout + 5
    while host.observed.now < until:
        host.after(0.05)
        while call := host.state.in_flight:
            made.append(call)
            if call.operation is Operation.RENEW:
                host.hears(view=Row("a/1", 7, paused=paused), done=True)
            else:
                host.hears(locks=(LOCK,))
    return host, made


@pytest.mark.parametrize(("standbys", "expected"), [(1, []), (0, [Operation.ACQUIRE])])
def test_an_instance_that_ends_acquires_only_where_no_other_host_is_ready(
    standbys: int, expected: list[Operation]
) -> None:
    host = Host()
    host.goes(leaving="a Spot notice")
    assert calls(host.hears(view=Row(remaining=-1.0, standbys=standbys))) == expected


@pytest.mark.parametrize(
    ("standbys", "paused", "expected"),
    [(1, False, []), (1, True, [Operation.ACQUIRE]), (0, False, [Operation.ACQUIRE])],
)
def test_a_host_cut_off_from_the_broker_acquires_only_where_no_other_host_may(
    standbys: int, paused: bool, expected: list[Operation]
) -> None:
    host = Host()
    host.goes(broker_lost=True)
    free = Row("a/0", remaining=-1.0, standbys=standbys, paused=paused)
    assert calls(host.hears(view=free)) == expected


@pytest.mark.parametrize(
    ("changes", "ready"),
    [
        ({}, True),
        ({"warm": None}, False),
        ({"leaving": "a Spot notice"}, False),
        ({"broker_lost": True}, False),
    ],
    ids=["warm", "not warm", "ends", "no broker"],
)
def test_a_host_calls_itself_ready_only_if_it_could_take_over(
    changes: dict[str, object], ready: bool
) -> None:
    host = Host()
    host.goes(**changes)
    assert host.state.in_flight == Request(Operation.POLL, ready=ready)


def test_a_leader_is_ready_although_nothing_waits_at_the_gate() -> None:
    host = Host().leads()
    assert host.observed.warm is None
    assert host.goes(now=host.state.due_at) == [Request(Operation.RENEW, 7, ready=True)]


@pytest.mark.parametrize(("paused", "ended"), [(False, True), (True, False)])
def test_a_blocking_session_is_ended_unless_takeovers_are_paused(paused: bool, ended: bool) -> None:
    host, made = leader_beside_a_lock(paused=paused)
    assert (Operation.END_SESSION in [call.operation for call in made]) is ended
    assert "blocking-lock" in host.events(), "it is named either way"
    assert ("blocking-lock-ended" in host.events()) is ended


@pytest.mark.parametrize("what", [Operation.RENEW, Operation.BLOCKING_LOCKS])
def test_a_call_that_the_database_refuses_ends_the_scheduler_and_releases_nothing(what: Operation) -> None:
    host = leader_waits_for(what)
    assert host.hears(failure=Failure.REFUSED, text="the epoch is 8") == [Kill()]
    assert host.said[-1].reason == f"{what} was refused: the epoch is 8"
    assert Operation.RELEASE not in calls(host.after(0.01, alive=None, killed=True))


@pytest.mark.parametrize("what", [Operation.RENEW, Operation.BLOCKING_LOCKS])
def test_a_call_that_is_not_answered_ends_no_scheduler_before_the_deadline(what: Operation) -> None:
    host = leader_waits_for(what)
    assert Kill() not in host.hears(failure=Failure.UNAVAILABLE, text="gone")
