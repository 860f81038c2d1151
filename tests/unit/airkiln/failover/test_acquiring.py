"""A standby: when it asks for the lease and when it leaves it to others."""

from __future__ import annotations

import pytest

from airkiln.failover.acquiring import another_leads
from airkiln.failover.decision import wake_at
from airkiln.failover.model import Exit, Operation, Request
from airkiln.systemd.journal import WARNING
from tests.unit.airkiln.failover.test_decision import Host, Row, T, calls


def standby(**changes: object) -> Host:
    """A host whose first poll is in flight."""
    host = Host()
    host.goes(**changes)
    return host


@pytest.mark.parametrize("target", [None, "*", "a"])
def test_a_free_lease_that_is_for_this_host_is_acquired_at_once(target: str | None) -> None:
    assert calls(standby().hears(view=Row(remaining=0.0, switchover_to=target))) == [Operation.ACQUIRE]


@pytest.mark.parametrize(("standbys", "expected"), [(1, []), (0, [Operation.ACQUIRE])])
def test_a_free_lease_that_is_for_another_host_is_acquired_where_none_is_ready(
    standbys: int, expected: list[Operation]
) -> None:
    host = standby()
    assert calls(host.hears(view=Row(remaining=0.0, switchover_to="c", standbys=standbys))) == expected


@pytest.mark.parametrize(
    ("row", "changes"),
    [({"paused": True}, {}), ({}, {"warm": None}), ({}, {"killed": False})],
    ids=["paused", "not warm", "something of the last epoch still runs"],
)
def test_a_free_lease_is_left_alone(row: dict[str, object], changes: dict[str, object]) -> None:
    host = standby(**changes)
    assert host.hears(view=Row(remaining=0.0, **row)) == []  # type: ignore[arg-type]  # of Row's fields
    assert host.state.passed_over
    assert wake_at(host.state, T) == host.state.due_at, "no timer for a lease that is free already"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"holder": "b/1", "remaining": 3.0}, True),
        ({"holder": "b/1", "remaining": 0.5}, True),
        ({"holder": "b/1", "remaining": 0.0}, False),
        ({"holder": "a/0", "remaining": 3.0}, False),
        ({"holder": "", "remaining": 0.0}, False),
    ],
    ids=["another host", "another host, soon over", "free", "an earlier run of this host", "never taken"],
)
def test_another_host_leads_as_long_as_it_holds_the_lease(row: dict[str, object], expected: bool) -> None:
    host = standby()
    assert not another_leads(host.state), "nothing is known before the first reply"
    host.hears(view=Row(**row))  # type: ignore[arg-type]  # of Row's fields
    assert another_leads(host.state) is expected


ENDS = {"leaving": "lifecycle state Terminated"}


@pytest.mark.parametrize("changes", [ENDS, {"broker_lost": True}, {**ENDS, "broker_lost": True}])
@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"holder": "a/0", "paused": True, "standbys": 2}, [Operation.ACQUIRE]),
        ({"holder": "b/1", "paused": True, "standbys": 0}, []),
        ({"holder": "a/0", "standbys": 1}, []),
        ({"holder": "a/0", "standbys": 0}, [Operation.ACQUIRE]),
    ],
    ids=["it alone may lead", "another host alone may lead", "another host is ready", "there is no other"],
)
def test_a_host_that_leaves_or_is_cut_off_acquires_only_where_no_other_host_may(
    changes: dict[str, object], row: dict[str, object], expected: list[Operation]
) -> None:
    host = standby(**changes)
    assert calls(host.hears(view=Row(remaining=-1.0, **row))) == expected  # type: ignore[arg-type]  # of Row's fields


def paused_for(host: Host, seconds: float, holder: str) -> list[str]:
    """What the journal says in so many seconds of polls that find the lease free and takeovers paused."""
    host.said.clear()
    end = host.observed.now + seconds
    while host.observed.now < end:
        host.hears(view=Row(holder, remaining=-1.0, paused=True))
        if host.state.in_flight is None:
            host.goes(now=host.state.due_at)
    return [note.reason for note in host.said if note.event == "paused"]


def test_a_pause_in_which_nobody_leads_is_told_once_a_minute_with_what_to_do() -> None:
    host = standby()
    assert paused_for(host, 59.0, "b/1") == []
    told = paused_for(host, 100.0, "b/1")
    assert told == ["no host leads: takeovers are paused and b led last: run `airkiln failover resume`"] * 2
    assert host.said[-1].priority == WARNING


def test_the_lines_about_a_pause_are_a_minute_apart() -> None:
    host = standby()
    told: list[float] = []
    for _ in range(125):
        host.said.clear()
        host.hears(view=Row("b/1", remaining=-1.0, paused=True))
        if "paused" in host.events():
            told.append(host.observed.now)
        host.goes(now=host.state.due_at)
    assert host.state.free_since is not None
    first, second = told
    assert T.poll_interval == 1.0
    assert 60.0 <= first - host.state.free_since < 61.0
    assert 60.0 <= second - first < 61.0


def test_a_pause_is_told_of_when_the_minute_is_over_and_not_later() -> None:
    host = standby(now=1024.0)
    host.hears(view=Row("b/1", remaining=-1.0, paused=True))
    assert host.state.free_since is not None
    host.goes(now=host.state.free_since + 60.0)
    assert host.events().count("paused") == 1


def test_a_pause_in_which_no_host_has_led_yet_is_told_without_a_name() -> None:
    host = standby()
    (told,) = paused_for(host, 61.0, "")
    assert told.startswith("no host leads: takeovers are paused and no host led last: ")


def test_a_free_lease_that_this_host_cannot_take_is_not_told_of_as_a_pause() -> None:
    host = standby(warm=None)
    for _ in range(130):
        host.hears(view=Row("b/1", remaining=-1.0))
        host.goes(now=host.state.due_at)
    assert "paused" not in host.events()


def test_a_lease_for_another_host_that_ends_between_two_polls_waits_for_the_next_one() -> None:
    host = standby()
    host.hears(view=Row(remaining=0.5, switchover_to="c", standbys=1))
    assert host.state.free_since is None
    assert host.after(0.5) == []


def test_a_pause_while_somebody_leads_or_this_host_may_lead_needs_no_line() -> None:
    host = standby(warm=None)
    assert paused_for(host, 200.0, "a/0") == []
    host = standby()
    for _ in range(200):
        host.hears(view=Row(paused=True))
        host.goes(now=host.state.due_at)
    assert "paused" not in host.events()


def test_a_lease_is_acquired_at_its_end_and_not_before() -> None:
    host = standby()
    host.hears(view=Row(remaining=0.5))
    assert wake_at(host.state, T) == host.observed.now + 0.5
    assert host.after(0.49) == []
    assert calls(host.after(0.01)) == [Operation.ACQUIRE]


def test_a_controller_exits_once() -> None:
    host = standby()
    host.hears(view=Row())
    assert host.after(0.1, stopping=True) == [Exit()]
    assert host.after(0.1) == []
    assert host.after(2.0) == []


def test_a_lease_whose_grant_was_lost_is_released_with_the_reason() -> None:
    host = standby()
    actions = host.hears(view=Row(holder="a/1", epoch=7, remaining=3.0))
    assert actions == [Request(Operation.RELEASE, 7, reason="its grant was never received")]
    assert host.said[-1].reason == "epoch 7 was granted and its reply lost: released"
    assert host.said[-1].priority == WARNING
    assert calls(host.hears(done=True)) == [Operation.POLL]


def test_a_poll_that_takes_its_time_is_followed_by_one_that_has_no_less() -> None:
    host = standby()
    for timeout in (1.0, 2.0, 4.0, 4.0, 4.0):
        assert wake_at(host.state, T) == host.observed.now + timeout
        host.after(timeout)
        assert host.state.polls_given_up <= 2
        host.after(0.5)


def test_only_a_poll_without_a_reply_gives_the_next_poll_more_time() -> None:
    host = standby()
    host.hears(view=Row(remaining=-1.0))
    host.after(1.0)
    assert calls(host.after(0.5)) == [Operation.POLL]
    assert wake_at(host.state, T) == host.observed.now + 1.0
