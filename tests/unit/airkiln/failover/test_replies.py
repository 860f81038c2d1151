"""What each reply of the database changes, and when the next request is due."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airkiln.failover.decision import wake_at
from airkiln.failover.model import Abandon, BlockingLock, Failure, Kill, Operation, Request
from airkiln.systemd.journal import NOTICE, WARNING
from tests.unit.airkiln.failover.test_decision import Host, Row, T, calls

LOST: dict[str, Any] = {"failure": Failure.UNAVAILABLE, "text": "gone"}


def fencing() -> Host:
    """A host to which epoch 7 was granted, whose first fence is in flight."""
    host = Host()
    host.goes()
    host.hears(view=Row(remaining=-1.0))
    host.hears(number=7)
    return host


def renewing() -> Host:
    """A leader whose second renewal is in flight."""
    host = Host().leads()
    host.renews()
    host.goes(now=host.state.due_at)
    return host


def test_a_standby_polls_again_half_a_second_after_a_poll_that_failed() -> None:
    host = Host()
    host.goes()
    host.hears(**LOST)
    assert host.after(0.49) == []
    assert calls(host.after(0.02)) == [Operation.POLL]


def test_a_leader_renews_again_a_quarter_of_a_second_after_a_renewal_that_failed() -> None:
    host = renewing()
    host.hears(**LOST)
    assert host.after(0.24) == []
    assert calls(host.after(0.02)) == [Operation.RENEW]


def test_a_standby_takes_no_lease_that_ended_while_its_poll_failed() -> None:
    host = Host()
    host.goes()
    host.hears(view=Row(remaining=1.1))
    host.after(1.0)
    host.hears(**LOST)
    assert host.after(0.3) == []
    assert calls(host.after(0.21)) == [Operation.POLL]


@pytest.mark.parametrize(("standbys", "expected"), [(1, []), (0, [Operation.ACQUIRE])])
def test_after_an_acquisition_that_failed_another_ready_host_has_a_second(
    standbys: int, expected: list[Operation]
) -> None:
    host = Host()
    host.goes()
    host.hears(view=Row(remaining=-1.0))
    host.hears(**LOST)
    failed_at = host.observed.now
    host.after(0.5)
    assert calls(host.hears(view=Row(remaining=-1.0, standbys=standbys))) == expected
    if standbys:
        assert host.goes(now=failed_at + 0.99) == []
        assert calls(host.goes(now=failed_at + 1.0)) == [Operation.ACQUIRE]


def test_after_an_acquisition_that_failed_nothing_that_another_host_led_ends_that_second() -> None:
    host = Host()
    host.goes()
    host.state = replace(host.state, gave_up_epoch=6)
    assert calls(host.hears(view=Row(epoch=6, remaining=-1.0))) == [Operation.ACQUIRE]
    host.hears(**LOST)
    host.after(0.5)
    assert host.hears(view=Row(epoch=7, remaining=-1.0, standbys=1)) == []


@pytest.mark.parametrize(("led", "expected"), [(1, []), (2, [Operation.ACQUIRE])])
def test_a_lease_is_left_to_another_host_only_until_that_one_has_led(
    led: int, expected: list[Operation]
) -> None:
    host = Host()
    host.goes()
    host.state = replace(host.state, gave_up_epoch=1, yield_until=2000.0)
    assert calls(host.hears(view=Row(epoch=led, remaining=0.0, standbys=1))) == expected


def test_the_pause_after_an_acquisition_that_failed_doubles_as_after_any_takeover() -> None:
    host = Host()
    host.goes()
    for pause in (0.5, 1.0, 2.0):
        assert calls(host.hears(view=Row(remaining=-1.0, standbys=0))) == [Operation.ACQUIRE]
        host.hears(**LOST)
        assert host.state.retry_at == host.observed.now + pause
        assert calls(host.after(pause)) == [Operation.POLL]


def test_a_renewal_that_failed_hides_no_progress() -> None:
    host = renewing()
    host.hears(**LOST)
    assert not host.state.unseen


def test_a_host_that_was_too_late_polls_a_quarter_of_a_second_later() -> None:
    host = Host()
    host.goes()
    host.hears(view=Row(remaining=-1.0))
    assert host.hears(number=None) == []
    assert host.after(0.24) == []
    assert calls(host.after(0.01)) == [Operation.POLL]


def test_a_request_that_failed_is_reported_with_what_it_was() -> None:
    host = fencing()
    host.hears(**LOST)
    assert [(note.event, note.reason, note.priority) for note in host.said[-2:]] == [
        ("call-failed", "fence: gone", WARNING),
        ("gives-up", "fence failed: gone", WARNING),
    ]


def test_a_request_without_a_reply_is_reported_with_its_timeout() -> None:
    host = fencing()
    assert Abandon() in host.after(1.0)
    assert host.said[-1].reason == "fence failed: no reply within 1 s"


def test_a_database_that_is_back_is_reported_with_the_length_of_its_outage() -> None:
    host = Host()
    host.goes()
    host.hears(**LOST)
    assert (host.said[-1].event, host.said[-1].reason) == ("database-lost", "poll: gone")
    host.after(0.5)
    host.hears(after=0.7, view=Row())
    assert (host.said[-1].event, host.said[-1].reason) == ("database-back", "after 1.2 s")
    assert host.said[-1].priority == NOTICE
    host.after(1.0)
    host.hears(view=Row())
    assert host.events().count("database-back") == 1


def test_a_failure_that_is_not_a_renewals_leaves_the_leader_its_view() -> None:
    host = Host().leads()
    host.renews()
    while host.state.in_flight is None or host.state.in_flight.operation is not Operation.BLOCKING_LOCKS:
        host.renews() if host.state.in_flight else host.after(0.05)
    host.hears(**LOST)
    assert Kill() in host.after(0.01, leaving="a Spot notice")


def test_a_lock_is_observed_anew_after_a_failure() -> None:
    host = Host().leads()
    lock = BlockingLock(99, "3/7", "psql holds a lock")
    observed = 0
    while observed < 4:
        host.after(0.05)
        while request := host.state.in_flight:
            if request.operation is Operation.RENEW:
                host.hears(view=Row("a/1", 7), done=True)
            elif observed % 2:
                observed += 1
                host.hears(**LOST)
            else:
                observed += 1
                host.hears(locks=(lock,))
    assert "blocking-lock" not in host.events()


def test_a_lease_that_stays_free_is_another_hosts_for_one_second_from_when_it_was_first_observed() -> None:
    host = Host()
    host.goes()
    host.hears(view=Row(remaining=-1.0, switchover_to="c"))
    first = host.observed.now
    host.after(0.5, notified=True)
    host.hears(view=Row(remaining=-0.5, switchover_to="c"))
    assert host.goes(now=first + 0.99) == []
    assert calls(host.goes(now=first + 1.0)) == [Operation.ACQUIRE]


def test_a_lease_that_was_taken_in_between_is_free_from_its_next_end() -> None:
    host = Host()
    host.goes()
    host.hears(view=Row(remaining=-1.0, switchover_to="c"))
    first = host.observed.now
    host.after(0.3, notified=True)
    host.hears(view=Row(remaining=4.0))
    host.after(0.3, notified=True)
    host.hears(view=Row(remaining=0.0, switchover_to="c"))
    assert host.goes(now=first + 1.01) == []


def test_a_lease_of_ours_that_has_ended_is_acquired_and_not_released() -> None:
    host = Host()
    host.goes()
    assert calls(host.hears(view=Row(holder="a/1", remaining=0.0))) == [Operation.ACQUIRE]


def test_a_switchover_that_is_requested_again_is_refused_again() -> None:
    host = Host().leads()
    for _ in range(2):
        for _ in range(2):
            assert calls(host.renews(switchover_to="*", standbys=0)) == [Operation.CANCEL_SWITCHOVER]
            host.hears(done=True)
        host.renews(standbys=0)
    assert host.events().count("switchover-refused") == 2


def test_a_renewal_that_is_refused_after_the_scheduler_died_changes_nothing() -> None:
    host = renewing()
    assert host.after(0.01, alive=None, killed=False) == [Kill()]
    assert host.hears(view=Row("b/1", 8), done=False) == []
    assert host.events().count("gives-up") == 1
    assert calls(host.after(0.01, killed=True)) == [Operation.RELEASE]


def test_each_grant_needs_two_empty_fences_of_its_own() -> None:
    host = Host().leads()
    host.after(0.1, alive=None, killed=True)
    host.goes(killed=True)
    host.observed = replace(host.observed, warm=9)
    host.hears(done=True)
    host.hears(view=Row(remaining=-1.0, standbys=0))
    assert calls(host.hears(number=9)) == [Operation.FENCE]
    host.hears(number=0)
    assert calls(host.after(0.01)) == [Operation.FENCE]


def test_a_lock_in_the_way_of_an_earlier_adoption_is_not_that_of_the_next_one() -> None:
    host = Host()
    host.goes()
    host.state = replace(host.state, adoption_waits=True)
    host.hears(view=Row(remaining=-1.0))
    host.hears(number=7)
    assert not host.state.adoption_waits


def test_a_grant_counts_from_when_it_was_requested_and_is_reported() -> None:
    host = Host()
    host.goes()
    host.hears(view=Row(remaining=-1.0))
    requested = host.observed.now
    host.hears(after=0.3, number=7)
    assert (host.state.renewed_at, host.state.due_at) == (requested, requested + 0.5)
    assert (host.said[-1].event, host.said[-1].epoch, host.said[-1].priority) == ("granted", 7, NOTICE)


def test_between_two_fences_it_wakes_after_ten_milliseconds() -> None:
    host = fencing()
    host.hears(number=2)
    assert wake_at(host.state, T) == host.observed.now + 0.01


@pytest.mark.parametrize(
    "operation", [Operation.FENCE, Operation.ADOPT, Operation.BLOCKING_LOCKS, Operation.END_SESSION]
)
def test_a_reply_whose_phase_is_over_changes_nothing(operation: Operation) -> None:
    host = Host()
    host.goes()
    host.hears(view=Row())
    before = host.state
    host.state = replace(before, in_flight=Request(operation, 7))
    assert host.hears(number=0, locks=(BlockingLock(1, "1/1", "x"),)) == []
    assert host.state == before


@pytest.mark.parametrize(("seconds", "lines"), [(59.75, 1), (60.0, 2)])
def test_an_outage_is_reported_once_in_60_seconds(seconds: float, lines: int) -> None:
    host = Host()
    host.goes()
    host.hears(after=0.0, **LOST)
    began = host.observed.now
    host.goes(now=began + seconds - 0.25)
    host.hears(after=0.25, **LOST)
    assert host.events().count("database-lost") == lines


def test_an_outage_soon_after_another_is_reported_as_well() -> None:
    host = Host()
    for _ in range(2):
        host.after(1.0)
        host.hears(**LOST)
        host.after(0.5)
        host.hears(view=Row())
    assert host.events() == ["database-lost", "database-back"] * 2


def test_only_a_poll_or_a_renewal_says_that_the_database_is_back() -> None:
    host = renewing()
    host.hears(**LOST)
    host.after(0.01, alive=None)
    host.goes(killed=True)
    host.hears(done=True)
    assert "database-back" not in host.events()
    host.hears(view=Row())
    assert host.events()[-1] == "database-back"


def test_a_poll_that_failed_leaves_the_lease_to_nobody() -> None:
    host = Host()
    host.goes()
    host.hears(**LOST)
    host.after(0.5)
    assert calls(host.hears(view=Row(remaining=-1.0, standbys=1))) == [Operation.ACQUIRE]


def test_a_standby_whose_poll_is_refused_polls_again() -> None:
    host = Host()
    host.goes()
    assert host.hears(failure=Failure.REFUSED, text="no") == []
    assert "gives-up" not in host.events()
    assert calls(host.after(0.5)) == [Operation.POLL]


def test_a_lease_of_ours_that_goes_on_for_half_a_second_is_released() -> None:
    host = Host()
    host.goes()
    assert calls(host.hears(view=Row(holder="a/1", epoch=7, remaining=0.5))) == [Operation.RELEASE]


def test_a_lease_that_was_passed_over_is_timed_again_after_the_next_poll() -> None:
    host = Host()
    host.goes(warm=None)
    host.hears(view=Row(remaining=-1.0))
    host.after(1.0)
    host.hears(view=Row(remaining=0.4))
    assert wake_at(host.state, T) == host.observed.now + 0.4


def test_a_poll_after_one_that_was_answered_has_the_ordinary_timeout() -> None:
    host = Host()
    host.goes()
    host.after(1.0)
    host.after(0.5)
    host.hears(view=Row())
    host.after(1.0)
    assert wake_at(host.state, T) == host.observed.now + 1.0
