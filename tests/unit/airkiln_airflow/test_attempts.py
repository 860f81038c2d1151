"""How often a client may fail to log in."""

from __future__ import annotations

import pytest

from airkiln_airflow.attempts import LIMIT, WINDOW, Attempts


class Clock:
    """A clock that stands until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_client_fails_so_often_and_then_waits_for_its_first_failure_to_pass(clock: Clock) -> None:
    attempts = Attempts(clock)
    for _ in range(LIMIT):
        assert attempts.begin("203.0.113.7") == 0
        clock.now += 1
    assert attempts.begin("203.0.113.7") == WINDOW - LIMIT
    clock.now += WINDOW - LIMIT
    assert attempts.begin("203.0.113.7") == 0


def test_a_refused_attempt_does_not_prolong_the_wait(clock: Clock) -> None:
    attempts = Attempts(clock)
    for _ in range(LIMIT):
        attempts.begin("203.0.113.7")
    clock.now += WINDOW - 1
    assert attempts.begin("203.0.113.7") == 1
    clock.now += 1
    assert attempts.begin("203.0.113.7") == 0


def test_another_client_has_failures_of_its_own(clock: Clock) -> None:
    attempts = Attempts(clock)
    for _ in range(LIMIT + 1):
        attempts.begin("203.0.113.7")
    assert attempts.begin("203.0.113.8") == 0


def test_a_program_with_the_right_password_is_never_refused(clock: Clock) -> None:
    attempts = Attempts(clock)
    for _ in range(10 * LIMIT):
        assert attempts.begin("10.20.48.5") == 0
        attempts.succeeded("10.20.48.5")


def test_what_is_still_under_way_counts(clock: Clock) -> None:
    """A thousand guesses at once are no more than five one after another."""
    attempts = Attempts(clock)
    allowed = [attempts.begin("203.0.113.7") == 0 for _ in range(1000)]
    assert sum(allowed) == LIMIT


def test_a_network_of_ipv6_is_one_client(clock: Clock) -> None:
    attempts = Attempts(clock)
    for number in range(LIMIT):
        attempts.begin(f"2001:db8:0:1::{number}")
    assert attempts.begin("2001:db8:0:1:ffff::") > 0
    assert attempts.begin("2001:db8:0:2::1") == 0


def test_only_so_many_clients_are_remembered(clock: Clock) -> None:
    attempts = Attempts(clock, most_clients=2)
    for _ in range(LIMIT):
        attempts.begin("203.0.113.1")
    for client in ("203.0.113.2", "203.0.113.1", "203.0.113.3"):
        attempts.begin(client)
    assert attempts.begin("203.0.113.1") > 0
    assert attempts.begin("203.0.113.2") == 0


def test_a_success_of_a_client_that_is_forgotten_is_none(clock: Clock) -> None:
    attempts = Attempts(clock, most_clients=1)
    attempts.begin("203.0.113.1")
    attempts.begin("203.0.113.2")
    attempts.succeeded("203.0.113.1")
    assert attempts.begin("203.0.113.1") == 0
