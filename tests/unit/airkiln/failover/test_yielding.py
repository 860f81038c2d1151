"""A host that gives the lease up, and what it holds afterwards."""

from __future__ import annotations

from dataclasses import replace

from airkiln.failover.decision import wake_at
from airkiln.failover.model import Operation, Request
from airkiln.systemd.journal import ERROR
from tests.unit.airkiln.failover.test_decision import Host, Row, T, calls


def ending() -> Host:
    """A leader whose scheduler has died, and whose other processes are being killed."""
    host = Host().leads()
    host.after(0.1, alive=None, killed=False)
    return host


def test_what_was_killed_has_400_milliseconds_to_end_and_the_controller_wakes_then() -> None:
    host = ending()
    assert wake_at(host.state, T) == host.state.ended_at + 0.4
    assert host.after(0.39) == []
    assert "not-ended" not in host.events()
    assert calls(host.goes(now=host.state.ended_at + 0.401)) == [Operation.RELEASE]
    assert (host.said[-1].event, host.said[-1].priority) == ("not-ended", ERROR)
    assert host.said[-1].reason == "processes are left 0.4 s after the kill"


def test_a_release_gives_the_reason() -> None:
    host = ending()
    assert host.after(0.01, killed=True) == [Request(Operation.RELEASE, 7, reason="the scheduler died")]


def test_after_its_release_a_host_polls_at_once_as_a_standby() -> None:
    host = ending()
    host.after(0.01, killed=True)
    assert host.hears(done=True) == [Request(Operation.POLL, ready=False)]
    assert (host.state.epoch, host.state.view, host.state.running) == (0, None, None)


def test_a_host_that_gave_up_leaves_the_lease_to_a_ready_host_for_three_seconds() -> None:
    host = ending()
    gave_up = host.state.ended_at
    host.after(0.01, killed=True)
    host.hears(done=True)
    host.observed = replace(host.observed, warm=9)
    host.hears(view=Row(remaining=-1.0, standbys=1))
    for second in (1, 2):
        host.goes(now=gave_up + second, notified=True)
        assert host.hears(view=Row(remaining=-1.0, standbys=1)) == []
    assert wake_at(host.state, T) == gave_up + 3.0
    assert host.goes(now=gave_up + 2.99) == []
    assert calls(host.goes(now=gave_up + 3.0)) == [Operation.ACQUIRE]


def test_a_release_that_fails_ends_the_same_way() -> None:
    host = ending()
    host.after(0.01, killed=True)
    assert host.state.in_flight is not None
    host.after(1.0)
    assert host.state.epoch == 0


def test_the_kill_timeout_includes_its_last_moment_and_is_reported_once() -> None:
    host = ending()
    host.state = replace(host.state, ended_at=0.0)
    assert host.goes(now=0.399) == []
    assert calls(host.goes(now=0.4)) == [Operation.RELEASE]
    host.after(0.1)
    assert host.events().count("not-ended") == 1


def test_a_release_waits_for_the_reply_to_the_request_in_flight() -> None:
    host = Host().leads()
    host.renews()
    host.goes(now=host.state.due_at)
    host.after(0.01, alive=None)
    assert host.after(0.01, killed=True) == []
    assert calls(host.hears(view=Row("a/1", 7), done=True)) == [Operation.RELEASE]


def test_a_warm_host_polls_before_it_acquires_what_it_has_released() -> None:
    host = Host().leads()
    host.renews(remaining=0.01, standbys=0)
    host.after(0.1, alive=None)
    host.after(0.01, killed=True)
    host.observed = replace(host.observed, warm=9)
    assert calls(host.hears(done=True)) == [Operation.POLL]
