"""Whether the scheduler is stuck: alive, and making no progress.

Airflow writes its heartbeat only between two loops, so a long loop alone looks stuck. A scheduler is stuck
when it is stopped (process state T), or when it has written no heartbeat for long *and* meanwhile has used no
processor time and had no statement in progress. The heartbeat is stamped with another clock, so only its
changes count, never its age.
"""

from __future__ import annotations

from datetime import datetime

from airkiln.failover.config import Timings
from airkiln.host.processes import Stat

PROGRESS = 5
"""Clock ticks (of 10 ms) that count as progress: a process that only waits uses none."""


class Health:
    """The health of one scheduler since it was let through. Times are of CLOCK_BOOTTIME, in seconds."""

    def __init__(self, now: float, timings: Timings) -> None:
        self._timings = timings
        self._beat: datetime | None = None
        self._beat_at = now
        self._ticks = 0
        self._progress_at = now
        self._stopped_at: float | None = None

    @property
    def heartbeat_at(self) -> float:
        """When its heartbeat last changed, or it was let through."""
        return self._beat_at

    def sampled(self, now: float, found: Stat | None) -> None:
        """Take a sample of the process into account."""
        if found is None:
            return
        if found.state not in "tT":
            self._stopped_at = None
        elif self._stopped_at is None:
            self._stopped_at = now
        if found.ticks - self._ticks >= PROGRESS:
            self._ticks, self._progress_at = found.ticks, now

    def beats(self, now: float, beat: datetime | None, *, busy: bool = False) -> None:
        """Take into account what the database knows: its heartbeat, and whether the server works for it."""
        if beat != self._beat:
            self._beat, self._beat_at = beat, now
        if busy:
            self._progress_at = now

    def excuse(self, now: float) -> None:
        """Start counting anew: the database is away, or another session holds a lock."""
        self._beat_at = self._progress_at = now

    def stuck(self, now: float) -> str | None:
        """Why it counts as stuck, or None."""
        limits = self._timings
        if self._stopped_at is not None and now - self._stopped_at >= limits.stopped_timeout:
            return f"stopped for {now - self._stopped_at:.1f} s"
        silent, idle = now - self._beat_at, now - self._progress_at
        if silent >= limits.scheduler_heartbeat + limits.stuck_timeout and idle >= limits.stuck_timeout:
            return f"no heartbeat for {silent:.1f} s and no progress for {idle:.1f} s"
        return None
