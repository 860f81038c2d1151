"""A worker pool: what its workers run, and how its Auto Scaling group may change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

DEFAULT: Final = "default"
"""The pool where AIRKILN_POOLS is not set, and of an instance without the tag airkiln:pool."""


def group_name(environment: str, pool: str) -> str:
    """The name of a pool's Auto Scaling group, as cloudformation/workers.yaml gives it."""
    return f"airkiln-{environment}-worker-{pool}"


@dataclass(frozen=True)
class Scheduled:
    """Workers kept at certain hours. `days` are 0 (Monday) to 6; times are minutes since midnight there.

    Where `until` is not after `start`, they end on the following day, and `days` are those they begin on.
    """

    days: frozenset[int]
    start: int
    until: int
    timezone: str
    min: int

    def applies(self, wall: float) -> bool:
        """Whether these hours hold at `wall`, in seconds since the epoch."""
        local = datetime.fromtimestamp(wall, ZoneInfo(self.timezone))
        minute = local.hour * 60 + local.minute
        today = local.weekday() in self.days
        if self.start < self.until:
            return today and self.start <= minute < self.until
        yesterday = (local - timedelta(days=1)).weekday() in self.days
        return (today and minute >= self.start) or (yesterday and minute < self.until)


@dataclass(frozen=True)
class Pool:
    """One pool. Times are in seconds, limits in per cent."""

    name: str
    slots: int
    """Tasks at a time of one worker."""
    queues: tuple[str, ...]
    cooldown: float = 300
    """For which demand has to stay lower before workers end."""
    scale_out_step: int = 10
    """Workers that one step may add."""
    drain_limit: float = 43200
    """For running tasks to end when their worker is to end."""
    rebalance: str = "ignore"
    """Whether a worker drains when EC2 recommends another place for it: drain or ignore."""
    cpu_limit: float = 90
    """CPU use of the group beyond which it counts as full."""
    memory_limit: float = 85
    """The same of memory."""
    schedule: tuple[Scheduled, ...] = ()

    def scheduled_min(self, wall: float) -> int:
        """The most workers that the schedule keeps at `wall`, in seconds since the epoch."""
        return max((each.min for each in self.schedule if each.applies(wall)), default=0)
