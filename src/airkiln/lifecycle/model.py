"""What the drain knows and may do. Times are seconds of CLOCK_BOOTTIME, which no setting of a clock moves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from airkiln.systemd.journal import NOTICE


class Stage(StrEnum):
    """Of one generation of the worker, as systemd has it."""

    RUNNING = "running"
    """Active, or on its way there: it takes tasks."""
    STOPPING = "stopping"
    """Takes none any more, and waits for those that run."""
    ENDED = "ended"
    """Inactive or failed. A generation that systemd has forgotten is not among the units at all."""


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
    """It ended otherwise than it should: what it ran may be left behind."""

    @property
    def end(self) -> float | None:
        """When systemd kills it."""
        return None if self.stage is not Stage.STOPPING or self.since is None else self.since + self.limit


class Told(StrEnum):
    """What AWS is told about the lifecycle action."""

    HEARTBEAT = "heartbeat"
    COMPLETE = "complete"


class HookAnswer(StrEnum):
    """What AWS said to the last call about the lifecycle action."""

    DONE = "done"
    ABSENT = "absent"
    """ValidationError: no action is active for this instance, or there is no such hook."""
    FAILED = "failed"
    """Throttled, not reached, refused: tried again."""


@dataclass(frozen=True)
class Seen:
    """One look at the world."""

    now: float
    target: str | None = None
    """autoscaling/target-lifecycle-state; None where there is no group."""
    spot_end: float | None = None
    """When EC2 takes the instance away, of a Spot notice."""
    rebalance: bool = False
    """AWS recommends to leave, and the pool follows that."""
    marked: str | None = None
    """Why this host drains, as noted on it by an earlier look or a person. Read before the units."""
    units: tuple[Unit, ...] = ()
    hook: HookAnswer | None = None
    """Of a call that ended since the last look."""
    cleared: int | None = None
    """Task instances that a clearing which ended since the last look has cleared; negative if it failed."""


@dataclass(frozen=True)
class Limits:
    """Seconds."""

    heartbeat: float = 20.0
    """Between two heartbeats of the hook."""
    again: float = 5.0
    """Before something that had no effect is tried again: a stop, a call about the hook."""
    patience: float = 60.0
    """For AWS to know of an action that the instance's metadata announces already."""
    clear: float = 45.0
    """Before the end, from which on what runs is cleared."""
    repeat: float = 4.0
    """Between the end of one clearing and the next: what was being started then is found by the next."""
    kill: float = 10.0
    """Before the end, when what is left is killed: its logs are uploaded in this time. The upload of a task's
    log took 4.7 s on two busy cores, most of it the start of Airflow's Python."""


@dataclass(frozen=True)
class State:
    """Between two looks."""

    reason: str | None = None
    """Why all generations stop; None while this host works."""
    began: float = 0.0
    stop_at: float = 0.0
    """When stopping may be asked for again."""
    beat_at: float = 0.0
    retry_at: float = 0.0
    """When AWS may be told something again, after a call that failed."""
    calling: Told | None = None
    """The call about the hook that is under way."""
    absent_since: float | None = None
    """Since when AWS has known no action."""
    hook_over: bool = False
    """Nothing more is to be said to AWS: the action is completed, or there is none."""
    clear_at: float = 0.0
    clearing: bool = False
    killed: frozenset[int] = frozenset()
    """Generations that were killed; forgotten when they have ended."""
    ended_at: float | None = None
    """Since when nothing has run any more."""
    swept: bool = False
    """What a generation that failed left behind has been cleared."""


@dataclass(frozen=True)
class StopWorkers:
    """Have generations take no more and end what they run."""

    generations: tuple[int, ...]


@dataclass(frozen=True)
class Mark:
    """Leave a note on this host that it drains: no worker is started any more."""

    reason: str


@dataclass(frozen=True)
class Heartbeat:
    """Have AWS wait longer."""


@dataclass(frozen=True)
class Complete:
    """Let AWS go on with the instance's end."""


@dataclass(frozen=True)
class ClearUnfinished:
    """Have each task instance that runs under these generations run elsewhere.

    `whole`: the host ends with them, so what cannot be told apart is cleared as well.
    """

    generations: tuple[int, ...]
    whole: bool


@dataclass(frozen=True)
class KillWorkers:
    """End what is left of generations."""

    generations: tuple[int, ...]


@dataclass(frozen=True)
class Note:
    """A line for the journal."""

    event: str
    reason: str
    priority: int = NOTICE


Action = StopWorkers | Mark | Heartbeat | Complete | ClearUnfinished | KillWorkers | Note
