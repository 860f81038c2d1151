"""Measures when the next task instance is queued: there is always one to queue, and the database is polled.

All moments are of one clock, the real host's CLOCK_MONOTONIC.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg

from rehearsal.chaos.instrumentation import PROBE
from rehearsal.chaos.observer import Observer, Row
from rehearsal.errors import RehearsalError
from rehearsal.waiting import ignoring, wait_until

POLL = 0.01
"""Seconds between two queries: how late a moment can be observed."""
PAUSE = 0.05
"""Seconds between two looks at whether another run is to be started."""
NOBODY = -1
"""Not a scheduler's job: stands for whoever queued a task instance before the measurement."""

_QUEUED = """
SELECT run_id, task_id, map_index, queued_dttm, queued_by_job_id FROM task_instance
WHERE run_id = ANY(%s) AND queued_by_job_id IS NOT NULL
  AND state IN ('queued', 'running', 'success')
"""

Wait = Callable[[float, Callable[[int], bool]], float]
"""Takes the seconds to wait at most, and a function that says which scheduler's job counts. Waits until such
a job has queued a task instance, and returns the moment on CLOCK_MONOTONIC."""


@contextmanager
def probing(observer: Observer) -> Iterator[Wait]:
    """Keep something to queue at all times, and yield a function that waits until it is queued.

    A run of the probe's DAG is started as soon as every earlier one has been queued by whoever led then. Task
    instances of the workload count too, also those that are queued again; one that is only adopted keeps its
    time of queueing, and does not count.
    """
    before = tuple(observer.runs)
    queued_by: dict[Row, int] = {}
    started: list[str] = []

    def note_earlier() -> bool:
        queued_by.update((tuple(queued), NOBODY) for *queued, _ in observer.rows(_QUEUED, (list(before),)))
        return True

    observer.wait_until("it is known what was queued before", note_earlier, 30)
    over = threading.Event()

    def keep_starting() -> None:
        while not over.is_set():
            if {run for run, *_ in list(queued_by)}.issuperset(started):
                with suppress(RehearsalError):
                    started.append(observer.start(PROBE))
            over.wait(PAUSE)

    def wait(seconds: float, counts: Callable[[int], bool]) -> float:
        def queued_anew() -> bool:
            return any(
                queued_by.setdefault(tuple(queued), job) == job and counts(job)
                for *queued, job in observer.rows(_QUEUED, ([*before, *started],))
            )

        what = "a task instance is queued after the fault"
        return wait_until(what, ignoring(psycopg.Error, queued_anew), seconds, every=POLL)

    thread = threading.Thread(target=keep_starting, daemon=True)
    thread.start()
    try:
        yield wait
    finally:
        over.set()
        thread.join(30)
