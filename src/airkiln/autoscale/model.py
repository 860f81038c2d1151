"""The values that the autoscaling decides with: observation, state and actions. See decision.py.

All times are in seconds. `now` is of CLOCK_BOOTTIME; `wall` is the time of day, since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

STAYING = ("Pending", "Pending:Wait", "Pending:Proceed", "InService")
"""Lifecycle states of instances that are capacity, or will be. Any other is ending, or out of service."""
IN_SERVICE = "InService"


@dataclass(frozen=True, slots=True)
class Demand:
    """Task instances of one pool's queues."""

    queued: int
    running: Mapping[str, int]
    """By the address of the worker."""
    oldest: float = 0.0
    """Seconds for which the oldest has been queued; 0 where none is queued."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance of a group. `address` is None while it is unknown: the instance counts as busy then."""

    id: str
    address: str | None
    lifecycle: str
    protected: bool = False
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """A pool's Auto Scaling group. `desired` includes what is being launched."""

    min: int
    max: int
    desired: int
    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class Observation:
    """What is known of one pool at one moment. None: unknown."""

    now: float
    wall: float
    demand: Demand | None
    group: Group | None
    cpu: float | None = None
    """Per cent, the average of the group."""
    memory: float | None = None


@dataclass(frozen=True, slots=True)
class Peak:
    """The workers wanted at one moment."""

    at: float
    wanted: int


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered of one pool. A new leader remembers nothing, so no worker ends for a cool-down."""

    known_since: float | None = None
    """Since when demand and group have been observed without a gap."""
    observed_at: float = 0.0
    peaks: tuple[Peak, ...] = ()
    """Falling: the first is the highest of the cool-down."""
    guarded_at: float | None = None
    """When CPU or memory last caused a scale-out."""
    served_since: Mapping[str, float] = field(default_factory=dict)
    """Instances in service, and since when they have been observed in service."""
    busy_at: Mapping[str, float] = field(default_factory=dict)
    """When they last had a task."""
    terminated: Mapping[str, float] = field(default_factory=dict)
    """Instances that were terminated: AWS may list them for a while."""


@dataclass(frozen=True, slots=True)
class ScaleOut:
    """Action: raise the desired capacity."""

    desired: int
    seen: int | None = field(default=None, compare=False)
    """The desired capacity that this was decided from. It is raised from no other."""


@dataclass(frozen=True, slots=True)
class Terminate:
    """Action: terminate these instances and lower the desired capacity by as many. Each drains first."""

    instances: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Protect:
    """Action: protect these instances from scale-in, zone rebalancing and refresh, because they are busy."""

    instances: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unprotect:
    """Action: end that protection."""

    instances: tuple[str, ...]


class Kind(StrEnum):
    """What was decided about the size of a pool."""

    SCALE_OUT = "scale-out"
    SCALE_IN = "scale-in"
    HOLD = "hold"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Note:
    """What was decided, from what and why: always the last action, for the journal and the status."""

    kind: Kind
    capacity: int
    """Desired capacity after the decision."""
    wanted: int
    """Workers that the demand needs at this moment."""
    peak: int
    """The most workers wanted within the cool-down."""
    reason: str


Action = ScaleOut | Terminate | Protect | Unprotect | Note
