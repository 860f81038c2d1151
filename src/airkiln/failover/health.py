"""Whether the scheduler is stuck: alive, and making no progress.

Airflow writes its heartbeat only between two loops, so a long loop alone looks stuck. A scheduler is stuck
when it is stopped (process state T), or when it has written no heartbeat for long *and* meanwhile its main
thread, which is the one that loops, has used no processor time and no statement was in progress. However much
it uses, it is stuck after `hung_timeout` without a heartbeat: no healthy loop takes so long. The heartbeat is
stamped with another clock, so only its changes count, never its age.
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
        self._silent = 0.0
        self._passed_at = now
        self._ticks = 0
        self._progress_at = now
        self._stopped_at: float | None = None

    @property
    def heartbeat_at(self) -> float:
        """When its heartbeat last changed, or it was let through."""
        return self._beat_at

    def sampled(self, now: float, found: Stat | None) -> None:
        """Take a sample of the main thread into account."""
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
            self._beat, self._beat_at, self._silent = beat, now, 0.0
        if busy:
            self._progress_at = now

    def passes(self, now: float, *, excused: bool) -> None:
        """Count the time since the last call, unless the database is away or another session holds a lock.

        What is excused starts the short limit anew and is left out of the long one, so that a database which
        is away every few minutes does not hide a scheduler that hangs.
        """
        if excused:
            self._beat_at = self._progress_at = now
        else:
            self._silent += now - self._passed_at
        self._passed_at = now

    def stuck(self, now: float) -> str | None:
        """Why it counts as stuck, or None."""
        limits = self._timings
        if self._stopped_at is not None and now - self._stopped_at >= limits.stopped_timeout:
            return f"stopped for {now - self._stopped_at:.1f} s"
        silent, idle = now - self._beat_at, now - self._progress_at
        if silent >= limits.scheduler_heartbeat + limits.stuck_timeout and idle >= limits.stuck_timeout:
            return f"no heartbeat for {silent:.1f} s and no progress for {idle:.1f} s"
        if self._silent >= limits.hung_timeout:
            return f"no heartbeat for {self._silent:.1f} s, although it computes or waits for a statement"
        return None
