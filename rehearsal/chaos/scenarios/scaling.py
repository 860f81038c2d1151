"""A pool that follows its demand: from zero and from one worker, and back to zero.

Tests and the benchmark call the same functions. What resizes the group is the leader's `airkiln autoscale`
alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from rehearsal.chaos.instrumentation import put
from rehearsal.chaos.observer import Observer
from rehearsal.deployment.cluster import PROBE
from rehearsal.deployment.worker_group import Fleet
from rehearsal.errors import RehearsalError

SLOTS = 4
COOLDOWN = 30.0
"""Seconds of a benchmark's pool."""
DECIDED, RUNNING = 60.0, 180.0
"""Seconds that are waited for, whatever the budgets are."""

_APPEARED = """
SELECT extract(epoch FROM min(queued_dttm))::float FROM task_instance WHERE run_id = ANY(%s)
"""
_BEGAN = """
SELECT extract(epoch FROM min(m.at))::float
FROM rehearsal.mark m JOIN task_instance t USING (run_id, task_id, map_index)
WHERE m.what = 'start' AND m.run_id = ANY(%s) AND t.hostname <> ALL(%s)
"""
_ENDED = (
    "SELECT extract(epoch FROM max(at))::float FROM rehearsal.mark WHERE what = 'end' AND run_id = ANY(%s)"
)


@dataclass(frozen=True)
class Growth:
    """What more demand led to, in seconds since the first task instance of it was queued."""

    decided: float
    """Until the group's desired capacity was more."""
    running: float
    """Until a task ran on a worker that had not been there."""


def set_pool(cooldown: float = COOLDOWN) -> None:
    """The one pool's settings, for hosts that boot afterwards. In the region's network."""
    put({"common": {"AIRKILN_POOLS": json.dumps({"default": {"slots": SLOTS, "cooldown": cooldown}})}})


def grow(observer: Observer, fleet: Fleet, *, tasks: int, seconds: float) -> Growth:
    """Ask for so many task instances of so many seconds each, more than there are slots, and watch."""
    desired = fleet.desired()
    known = [host.address for host in (*fleet.hosts(), observer.cluster.worker) if host]
    runs = [observer.start(PROBE, seconds=seconds) for _ in range(tasks)]
    decided = moment("more workers are wanted", lambda: fleet.desired() > desired, DECIDED)
    appeared = _number(observer, _APPEARED, runs)
    if appeared is None:
        raise RehearsalError("The capacity was raised, and none of the tasks asked for has been queued.")

    def began() -> float | None:
        return _number(observer, _BEGAN, runs, known)

    observer.wait_until("a task runs on another worker", lambda: began() is not None, RUNNING)
    return Growth(decided - appeared, (began() or 0.0) - appeared)


def shrink(observer: Observer, fleet: Fleet, *, cooldown: float = COOLDOWN) -> float:
    """Wait until every task has ended and no worker is left.

    Returns the seconds from the end of the last task until none was wanted.
    """
    observer.wait_until("every task has ended", observer.idle, RUNNING)
    ended = _number(observer, _ENDED, observer.runs) or time.time()
    none = moment("no worker is wanted", lambda: fleet.desired() == 0, 3 * cooldown + DECIDED)
    fleet.wait_until("every worker has gone", lambda: not fleet.members(), RUNNING)
    return none - ended


def _number(observer: Observer, query: str, *names: list[str]) -> float | None:
    found = observer.rows(query, names)[0][0]
    return None if found is None else float(found)


def moment(what: str, holds: Callable[[], bool], seconds: float) -> float:
    """When it first was so, in seconds since 1970."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise RehearsalError(f"Waited {seconds:g} s in vain until {what}.")
        time.sleep(0.2)
    return time.time()
