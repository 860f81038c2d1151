"""When a scheduler counts as stuck: stopped, silent and idle at once, or silent too long; and when never."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airkiln.failover.config import Timings
from airkiln.failover.health import PROGRESS, Health
from airkiln.host.processes import Stat

T = Timings()
LONG = T.scheduler_heartbeat + T.stuck_timeout
"""Seconds without a heartbeat and without progress that count as stuck."""
YEAR_2000 = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass
class Watched:
    """A scheduler, let through at second 1000 and looked at twice a second as the daemon does."""

    def __post_init__(self) -> None:
        self.now = 1000.0
        self.health = Health(self.now, T)
        self.beat: datetime | None = YEAR_2000
        self.ticks = 500
        self.looks()

    def looks(self, state: str = "S", busy: bool = False) -> None:
        self.health.beats(self.now, self.beat, busy=busy)
        self.health.sampled(self.now, Stat(state, self.ticks, started=1))

    def goes_on(
        self,
        seconds: float,
        *,
        state: str = "S",
        ticks: int = 0,
        beats: bool = False,
        busy: bool = False,
        excused: bool = False,
    ) -> str | None:
        """What it counts as, at the end; `ticks` are used in each half second."""
        for _ in range(round(seconds * 2)):
            self.now += 0.5
            self.ticks += ticks
            if beats and self.beat:
                self.beat += timedelta(seconds=0.5)
            self.health.passes(self.now, excused=excused)
            self.looks(state, busy)
        return self.health.stuck(self.now)


def test_silent_and_idle_is_stuck_and_not_a_moment_sooner() -> None:
    watched = Watched()
    assert watched.goes_on(LONG - 0.5) is None
    assert watched.goes_on(0.5) == "no heartbeat for 10.0 s and no progress for 10.0 s"


def test_a_long_loop_is_not_stuck() -> None:
    assert Watched().goes_on(T.hung_timeout - 0.5, ticks=PROGRESS) is None


def test_nor_is_one_whose_statement_the_database_works_on() -> None:
    assert Watched().goes_on(T.hung_timeout - 0.5, busy=True) is None


@pytest.mark.parametrize("meanwhile", [{"ticks": PROGRESS}, {"busy": True}])
def test_a_loop_that_does_not_end_is_stuck_whatever_it_uses(meanwhile: dict[str, Any]) -> None:
    watched = Watched()
    assert watched.goes_on(T.hung_timeout - 0.5, **meanwhile) is None
    assert watched.goes_on(0.5, **meanwhile) == (
        "no heartbeat for 600.0 s, although it computes or waits for a statement"
    )


def test_a_heartbeat_in_time_begins_the_longest_silence_anew() -> None:
    watched = Watched()
    for _ in range(5):
        assert watched.goes_on(T.hung_timeout - 1, ticks=PROGRESS) is None
        assert watched.goes_on(0.5, ticks=PROGRESS, beats=True) is None


def test_a_database_that_is_away_now_and_then_does_not_hide_an_endless_loop() -> None:
    watched = Watched()
    for _ in range(9):
        watched.goes_on(60, ticks=PROGRESS)
        assert watched.goes_on(60, ticks=PROGRESS, excused=True) is None
    assert watched.goes_on(59.5, ticks=PROGRESS) is None
    assert watched.goes_on(0.5, ticks=PROGRESS)


def test_nor_one_that_sleeps_between_its_heartbeats() -> None:
    assert Watched().goes_on(100 * LONG, beats=True) is None


def test_what_waiting_itself_uses_is_no_progress() -> None:
    watched = Watched()
    watched.goes_on(LONG - 1)
    watched.ticks += PROGRESS - 1
    assert watched.goes_on(1)


def test_a_long_loop_that_then_hangs_is_given_the_time_from_its_last_progress() -> None:
    watched = Watched()
    watched.goes_on(LONG, ticks=PROGRESS)
    assert watched.goes_on(T.stuck_timeout - 0.5) is None
    assert watched.goes_on(0.5)


def test_a_heartbeat_counts_by_its_change_whatever_clock_it_was_stamped_with() -> None:
    fresh, old = Watched(), Watched()
    fresh.beat, old.beat = datetime.now(UTC) + timedelta(days=400), YEAR_2000
    for watched in (fresh, old):
        watched.looks()
        assert watched.goes_on(LONG)
        assert watched.beat
        watched.beat -= timedelta(hours=1)  # its clock was set back
        assert watched.goes_on(0.5) is None


def test_a_job_that_is_not_there_yet_is_given_its_time() -> None:
    watched = Watched()
    watched.beat = None
    watched.looks()
    assert watched.goes_on(LONG - 0.5) is None
    assert watched.goes_on(0.5)


def test_stopped_is_stuck_whatever_else_it_does() -> None:
    watched = Watched()
    assert watched.goes_on(T.stopped_timeout, state="T", beats=True, ticks=PROGRESS) is None
    assert watched.goes_on(0.5, state="T", beats=True, ticks=PROGRESS) == "stopped for 4.0 s"


def test_a_debuggers_stop_is_one_too() -> None:
    assert Watched().goes_on(T.stopped_timeout + 0.5, state="t")


def test_one_that_was_stopped_and_goes_on_is_not() -> None:
    watched = Watched()
    for _ in range(10):
        watched.goes_on(T.stopped_timeout - 0.5, state="T", beats=True)
        assert watched.goes_on(0.5, beats=True) is None


def test_nothing_counts_while_it_is_excused_nor_what_was_before() -> None:
    watched = Watched()
    watched.goes_on(LONG - 0.5)
    assert watched.goes_on(10 * LONG, excused=True) is None
    assert watched.goes_on(T.stuck_timeout - 0.5) is None


def test_a_look_that_found_no_process_says_nothing() -> None:
    watched = Watched()
    watched.health.sampled(watched.now + LONG, None)
    assert watched.health.stuck(watched.now + 1) is None
