"""What came of a replay: waiting times, costs and changes of capacity."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from airkiln.simulation.history import Tasks
from airkiln.simulation.queueing import WorkerGroup
from airkiln.simulation.settings import Shape

OURS: Final = "airkiln"
"""The name of the product's own policy."""
HOUR, DAY = 3600.0, 86400.0
MONTH: Final = 730 * HOUR


@dataclass(frozen=True)
class Outcome:
    """What came of one policy for one pool. Waiting times are in seconds."""

    setting: str
    policy: str
    pool: str
    tasks: int
    unserved: int
    """Tasks that never began."""
    wait_p50: float
    wait_p95: float
    wait_max: float
    worker_hours: float
    monthly_cost: float | None
    """If every month were like the history; None without a price."""
    changes_per_day: float
    """Times that the desired capacity was set anew."""
    flaps: int
    """Times that it shrank less than the pool's cool-down after it grew."""
    regrown: int
    """Times that it grew less than the cool-down after it shrank."""
    workers_max: int


@dataclass(frozen=True)
class Replay:
    """An outcome, and how it came."""

    outcome: Outcome
    changes: tuple[tuple[float, int], ...]
    """Since when there were how many workers desired, in seconds since the epoch."""
    end: float


def measure(setting: str, policy: str, shape: Shape, tasks: Tasks, workers: WorkerGroup) -> Replay:
    """The outcome of a replay."""
    begin = workers.changes[0][0]
    span = max(map(float.__add__, tasks.queued_at, tasks.seconds)) - begin
    hours = workers.cost() / HOUR
    started = len(tasks) - workers.unserved
    p50, p95, most = percentiles(workers.waits, started, (50, 95, 100))
    flaps, regrown = turns(workers.changes, shape.pool.cooldown)
    per_month = None if shape.price is None else hours * shape.price * MONTH / max(span, HOUR)
    outcome = Outcome(
        setting=setting,
        policy=policy,
        pool=shape.pool.name,
        tasks=len(tasks),
        unserved=workers.unserved,
        wait_p50=round(p50, 1),
        wait_p95=round(p95, 1),
        wait_max=round(most, 1),
        worker_hours=round(hours, 2),
        monthly_cost=None if per_month is None else round(per_month, 2),
        changes_per_day=round((len(workers.changes) - 1) / max(span / DAY, 1 / 24), 2),
        flaps=flaps,
        regrown=regrown,
        workers_max=max(count for _since, count in workers.changes),
    )
    return Replay(outcome, tuple(workers.changes), workers.now)


def percentiles(waits: array[float], count: int, percents: Iterable[float]) -> list[float]:
    """Nearest rank among `count` tasks of which those in `waits` waited and the others did not."""
    ordered = sorted(waits)
    ranks = [max(0, math.ceil(count * percent / 100) - 1) - (count - len(ordered)) for percent in percents]
    return [ordered[rank] if 0 <= rank < len(ordered) else 0.0 for rank in ranks]


def turns(changes: Iterable[tuple[float, int]], within: float) -> tuple[int, int]:
    """How often the desired capacity fell less than `within` seconds after it rose, and rose so soon after it
    fell."""
    steps = [(since, after > before) for (_, before), (since, after) in pairwise(changes)]
    soon = [
        rose
        for (before, other), (after, rose) in pairwise(steps)
        if rose != other and after - before < within
    ]
    return len(soon) - sum(soon), sum(soon)
