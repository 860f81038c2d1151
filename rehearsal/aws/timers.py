"""Runs jobs of the emulated AWS later, in one thread and by one clock. Tests replace the clock.

Left out: more than one job at a time. A job that takes long delays the others.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

Job = Callable[[], None]
log = logging.getLogger(__name__)
POLL_EVERY = 0.1
"""Seconds between two checks of what is due."""


class Schedule:
    """Jobs by the time at which they are due, in seconds of ``clock``."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._jobs: list[tuple[float, int, Job]] = []

    def after(self, seconds: float, job: Job) -> None:
        """Run a job once, that many seconds from now."""
        with self._lock:
            heapq.heappush(self._jobs, (self.clock() + seconds, next(self._numbers), job))

    def every(self, seconds: float, job: Job) -> None:
        """Run a job repeatedly, that many seconds after its last run has ended."""

        def again() -> None:
            try:
                job()
            finally:
                self.after(seconds, again)

        self.after(seconds, again)

    def run_due(self) -> None:
        """Run every job that is due, the earliest first. A failure is logged; the others still run."""
        while (job := self._next()) is not None:
            try:
                job()
            except Exception:
                log.exception("A scheduled job failed")

    def next_at(self) -> float | None:
        """Return when the earliest job is due, or None."""
        with self._lock:
            return self._jobs[0][0] if self._jobs else None

    def start(self) -> None:
        """Run due jobs in a thread until the process ends."""
        threading.Thread(target=self._work, name="schedule", daemon=True).start()

    def _next(self) -> Job | None:
        with self._lock:
            due = bool(self._jobs) and self._jobs[0][0] <= self.clock()
            return heapq.heappop(self._jobs)[2] if due else None

    def _work(self) -> None:
        while True:
            self.run_due()
            time.sleep(POLL_EVERY)
