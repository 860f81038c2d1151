"""What the autoscaling sees, remembers and does, as values. `decision.py` goes from one to the next.

All times are seconds. `now` is of a clock that only runs (CLOCK_BOOTTIME); `wall` is the time of day, since
the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

STAYING = ("Pending", "Pending:Wait", "Pending:Proceed", "InService")
"""Lifecycle states of instances that are capacity, or will be. Any other instance is going, or set aside."""
IN_SERVICE = "InService"


@dataclass(frozen=True, slots=True)
class Demand:
    """Task instances of one pool's queues."""

    queued: int
    running: Mapping[str, int]
    """By the address of the worker."""
    oldest: float = 0.0
    """Age of the one that has been queued longest; 0 where none is."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance of a group. `address` is None while nobody knows it: then it counts as busy."""

    id: str
    address: str | None
    lifecycle: str
    protected: bool = False
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """A pool's Auto Scaling group. What is launching is in `desired` already."""

    min: int
    max: int
    desired: int
    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of one pool at one moment. None: not known."""

    now: float
    wall: float
    demand: Demand | None
    group: Group | None
    cpu: float | None = None
    """Per cent, the average of the group."""
    memory: float | None = None


@dataclass(frozen=True, slots=True)
class Peak:
    """That many workers were wanted at that moment."""

    at: float
    wanted: int


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered of one pool. A new leader begins with none, and so ends nothing for a cool-down."""

    known_since: float | None = None
    """Since when demand and group have been seen without a gap."""
    looked_at: float = 0.0
    peaks: tuple[Peak, ...] = ()
    """Falling: the first is the most that the cool-down has seen."""
    guarded_at: float | None = None
    """When CPU or memory last made it grow."""
    served_since: Mapping[str, float] = field(default_factory=dict)
    """Instances in service, and since when they have been seen there."""
    busy_at: Mapping[str, float] = field(default_factory=dict)
    """When they last had a task."""
    ended: Mapping[str, float] = field(default_factory=dict)
    """Instances that were told to end: AWS may go on showing them for a moment."""


@dataclass(frozen=True, slots=True)
class Grow:
    """Set the desired capacity, which is higher than the one that is."""

    desired: int


@dataclass(frozen=True, slots=True)
class End:
    """End these instances and have as many fewer; each drains before it goes."""

    instances: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Protect:
    """Let no scale-in, rebalancing of zones or refresh choose these instances: they are busy."""

    instances: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unprotect:
    """Let them be chosen again."""

    instances: tuple[str, ...]


class Kind(StrEnum):
    """What was decided of a pool's size."""

    GROW = "grow"
    SHRINK = "shrink"
    HOLD = "hold"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Note:
    """What was decided, from what and why: always the last of the actions, and only for people to read."""

    kind: Kind
    capacity: int
    """Desired capacity after the decision."""
    wanted: int
    """Workers that the demand asks for at this moment."""
    peak: int
    """The most that were wanted within the cool-down."""
    reason: str


Action = Grow | End | Protect | Unprotect | Note
