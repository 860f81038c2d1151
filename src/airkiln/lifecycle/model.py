"""The values that the drain decides with. Times are seconds of CLOCK_BOOTTIME."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from airkiln.systemd.journal import NOTICE


class Stage(StrEnum):
    """The stage of one generation of the worker, as systemd has it."""

    RUNNING = "running"
    """Active or starting: it takes tasks."""
    STOPPING = "stopping"
    """It takes no more tasks and waits for those that run."""
    ENDED = "ended"
    """Inactive or failed. A generation that systemd has unloaded is not listed at all."""


@dataclass(frozen=True)
class Unit:
    """One generation of the worker."""

    generation: int
    stage: Stage
    since: float | None = None
    """When it began to stop, of one that is stopping."""
    limit: float = 43200.0
    """Seconds that its stop may take before systemd kills it; infinite where there is no limit."""
    failed: bool = False
    """It crashed or was killed: the tasks that it ran may still count as running."""

    @property
    def end(self) -> float | None:
        """When systemd kills it."""
        return None if self.stage is not Stage.STOPPING or self.since is None else self.since + self.limit


class HookCall(StrEnum):
    """A call about the lifecycle action."""

    HEARTBEAT = "heartbeat"
    COMPLETE = "complete"


class HookReply(StrEnum):
    """The reply to a call about the lifecycle action."""

    DONE = "done"
    ABSENT = "absent"
    """ValidationError: no action is active for this instance, or there is no such hook."""
    FAILED = "failed"
    """Throttled, not reached or refused: it is tried again."""


@dataclass(frozen=True)
class Observation:
    """What is known at one moment."""

    now: float
    lifecycle: str | None = None
    """autoscaling/target-lifecycle-state of the instance; None outside an Auto Scaling group."""
    spot_end: float | None = None
    """When EC2 takes the instance back, by a Spot notice."""
    rebalance: bool = False
    """EC2 recommends to rebalance, and the pool follows that."""
    marked: str | None = None
    """Why this host is marked as draining, by the daemon or a person. Read before the units."""
    units: tuple[Unit, ...] = ()
    hook: HookReply | None = None
    """The reply to a call that has ended since the last observation."""
    cleared: int | None = None
    """Task instances cleared by a clearing that has ended since the last observation; -1: it failed."""


@dataclass(frozen=True)
class Limits:
    """The settings of the drain, in seconds."""

    heartbeat: float = 20.0
    """Between two heartbeats of the lifecycle action."""
    again: float = 5.0
    """Before a stop, or a call about the hook, that had no effect is tried again."""
    patience: float = 60.0
    """For Auto Scaling to know the action that instance metadata announces already."""
    clear: float = 45.0
    """Before the end, from when on running tasks are cleared."""
    repeat: float = 4.0
    """From the end of one clearing to the next, which finds what was just being started."""
    kill: float = 10.0
    """Before the end, when what is left is killed, so that its logs are uploaded in this time. The upload of
    one task's log took 4.7 s on two busy cores, most of it the start of Airflow's Python."""


@dataclass(frozen=True)
class State:
    """What is remembered between two observations."""

    reason: str | None = None
    """Why all generations stop; None while this host works."""
    began: float = 0.0
    stop_at: float = 0.0
    """When a stop may be requested again."""
    beat_at: float = 0.0
    retry_at: float = 0.0
    """When a call about the hook may be made again, after one that failed."""
    calling: HookCall | None = None
    """The call about the hook that is in flight."""
    absent_since: float | None = None
    """Since when Auto Scaling has known no action."""
    hook_over: bool = False
    """The action is completed, or there is none: no more calls are made."""
    clear_at: float = 0.0
    clearing: bool = False
    killed: frozenset[int] = frozenset()
    """Generations that were killed, until they have ended."""
    ended_at: float | None = None
    """Since when nothing has run."""
    swept: bool = False
    """Whether what a failed generation left has been cleared."""


@dataclass(frozen=True)
class StopWorkers:
    """Action: have generations take no more tasks and finish those that run."""

    generations: tuple[int, ...]


@dataclass(frozen=True)
class Mark:
    """Action: mark this host as draining, so that no worker starts."""

    reason: str


@dataclass(frozen=True)
class Heartbeat:
    """Action: extend the lifecycle action."""


@dataclass(frozen=True)
class Complete:
    """Action: complete the lifecycle action."""


@dataclass(frozen=True)
class ClearUnfinished:
    """Action: clear each task instance that runs under these generations, so that it runs elsewhere.

    `whole`: the host ends with them, so tasks of an unknown generation are cleared as well.
    """

    generations: tuple[int, ...]
    whole: bool


@dataclass(frozen=True)
class KillWorkers:
    """Action: kill what is left of generations."""

    generations: tuple[int, ...]


@dataclass(frozen=True)
class Note:
    """Action: write a line to the journal."""

    event: str
    reason: str
    priority: int = NOTICE


Action = StopWorkers | Mark | Heartbeat | Complete | ClearUnfinished | KillWorkers | Note
