"""What a fault does to a real cluster, a case a mechanism: one takes over, none else writes, no task is lost.

The benchmark runs the same code many times over for its figures; here nothing is timed.
"""

from __future__ import annotations

import pytest

from rehearsal.chaos.checkers.statements import parse
from rehearsal.chaos.faults import clocks
from rehearsal.chaos.faults.schedulers import FAULTS, Fault
from rehearsal.chaos.observer import Observer
from rehearsal.chaos.scenarios import ordeals
from rehearsal.chaos.scenarios.takeover import trial
from tests.failover.conftest import Checker

pytestmark = pytest.mark.root


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_after_a_fault_work_goes_on_and_none_is_lost(
    observer: Observer, checker: Checker, fault: Fault
) -> None:
    assert trial(observer, fault).problems == []
    checker.finds_nothing()


def test_what_was_queued_and_never_sent_runs_once(observer: Observer, checker: Checker) -> None:
    assert trial(observer, ordeals.killed_before_sending(observer)).problems == []
    checker.finds_nothing()


def test_a_host_that_was_frozen_across_a_takeover_writes_nothing_more(
    observer: Observer, checker: Checker
) -> None:
    assert trial(observer, ordeals.FROZEN).problems == []
    checker.finds_nothing()


def test_a_host_that_was_frozen_across_two_takeovers_writes_nothing_more(
    observer: Observer, checker: Checker
) -> None:
    assert ordeals.frozen_across_two(observer) == []
    checker.finds_nothing()


def test_a_host_that_was_frozen_while_it_logged_in_writes_nothing_more(
    observer: Observer, checker: Checker
) -> None:
    problems, logins = ordeals.frozen_in_login(observer)
    assert logins, "no login was half open when the host was frozen"
    assert problems == []
    checker.finds_nothing()


@pytest.mark.parametrize("seconds", [8, -8])
def test_a_leader_whose_clock_is_wrong_by_seconds_is_succeeded_as_any_other(
    observer: Observer, checker: Checker, seconds: int
) -> None:
    with clocks.skewed(observer.leader().host, seconds):
        assert trial(observer, FAULTS["scheduler_sigkill"]).problems == []
        assert trial(observer, FAULTS["scheduler_sigkill"]).problems == []
    checker.finds_nothing()


@pytest.mark.parametrize("seconds", [300, -300])
def test_a_clock_that_is_wrong_by_minutes_changes_nothing_while_nothing_runs(
    observer: Observer, checker: Checker, seconds: int
) -> None:
    assert ordeals.skewed_while_idle(observer, seconds) == []
    checker.finds_nothing()


def test_tasks_outlast_a_minute_without_a_database(observer: Observer, checker: Checker) -> None:
    problems, _ = ordeals.database_away(observer, 60)
    assert problems == []
    checker.finds_nothing()


def test_a_database_that_takes_seconds_over_a_login_has_a_leader_all_the_same(
    observer: Observer, checker: Checker
) -> None:
    assert ordeals.slow_to_let_in(observer, 2) == []
    checker.finds_nothing()


def test_the_log_names_the_epoch_of_every_scheduler(checker: Checker) -> None:
    epochs = {entry.epoch for entry in parse(checker.records) if entry.epoch}
    assert len(epochs) > 1
