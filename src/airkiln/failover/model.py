"""What the controller's decision is made of: what it knows, what it sees, and what it can have done.

Values only. decision.py turns one State and one Seen into the next State and a tuple of actions.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from airkiln.failover.config import Timings


class View(Protocol):
    """What the database answers to a poll or a renewal, as of its own clock."""

    @property
    def holder(self) -> str:
        """Who leads, or led last."""

    @property
    def epoch(self) -> int:
        """The lease's epoch."""

    @property
    def remaining(self) -> float:
        """Seconds until the lease ends; 0 or less: it is free."""

    @property
    def paused(self) -> bool:
        """Whether an operator forbade takeovers."""

    @property
    def hand_over_to(self) -> str | None:
        """The host that an operator wants to lead, `*` for any other, None without a request."""

    @property
    def standbys(self) -> int:
        """Other hosts that are ready and were seen within three seconds."""

    @property
    def heartbeat(self) -> datetime | None:
        """Latest heartbeat of the newest running scheduler."""

    @property
    def busy(self) -> bool:
        """Whether the server works for the leader's scheduler."""


class Phase(StrEnum):
    """Where a controller stands."""

    STANDBY = "standby"
    FENCING = "fencing"
    """Granted an epoch: ends the sessions of all older ones."""
    ADOPTING = "adopting"
    LEADING = "leading"
    """The gate was opened."""
    ENDING = "ending"
    """Kills what it let through, then releases the lease."""


class What(StrEnum):
    """One call to the database."""

    POLL = "poll"
    RENEW = "renew"
    ACQUIRE = "acquire"
    FENCE = "fence"
    ADOPT = "adopt"
    RELEASE = "release"
    FOREIGN_LOCKS = "foreign_locks"
    END_SESSION = "end_session"
    DROP_REQUEST = "drop_request"


class Trouble(StrEnum):
    """Why a call has no result."""

    UNAVAILABLE = "unavailable"
    """Not reached, too slow, or the connection was lost: it may have been carried out all the same."""
    REFUSED = "refused"
    """The database said no: the epoch has moved on."""


@dataclass(frozen=True)
class Lock:
    """A foreign session's lock that a scheduler needs."""

    pid: int
    transaction: str
    text: str
    """Who and what, for the journal."""


@dataclass(frozen=True)
class HeldLock:
    """Since when it was seen, on this host's clock."""

    lock: Lock
    since: float
    named: bool = False


@dataclass(frozen=True)
class Call:
    """Action: make this call. One is under way at a time."""

    what: What
    epoch: int = 0
    ready: bool = False
    reason: str = ""
    pid: int = 0
    transaction: str = ""


@dataclass(frozen=True)
class Abandon:
    """Action: give up the call under way and its connection."""


@dataclass(frozen=True)
class Kill:
    """Action: close the gate, take back the credentials, kill the leader units' control groups."""


@dataclass(frozen=True)
class OpenGate:
    """Action: write the credentials of this epoch and let this process through."""

    pid: int
    epoch: int


@dataclass(frozen=True)
class Follow:
    """Action: start what follows the scheduler (the DAG processor)."""


@dataclass(frozen=True)
class Dump:
    """Action: have this process write its stacks to the journal."""

    pid: int


@dataclass(frozen=True)
class ReportUnhealthy:
    """Action: ask the Auto Scaling group to replace this instance."""

    reason: str


@dataclass(frozen=True)
class Note:
    """Action: one line in the journal."""

    event: str
    epoch: int
    reason: str
    priority: int


@dataclass(frozen=True)
class Leave:
    """Action: end the controller; it leads nothing."""


Action = Call | Abandon | Kill | OpenGate | Follow | Dump | ReportUnhealthy | Note | Leave


@dataclass(frozen=True)
class Answer:
    """What came of the call under way. `result` is of the kind that `what` has; None with a trouble."""

    call: Call
    view: View | None = None
    """Of a poll or a renewal."""
    number: int | None = None
    """The epoch of an acquisition (None: somebody else's), the sessions left of a fence."""
    good: bool = False
    """Whether a renewal was one."""
    locks: tuple[Lock, ...] = ()
    trouble: Trouble | None = None
    text: str = ""
    """Of the trouble, for the journal."""


@dataclass(frozen=True)
class Seen:
    """What this host looks like now."""

    now: float
    """CLOCK_BOOTTIME, in seconds: it goes on while the machine is suspended."""
    answer: Answer | None = None
    notified: bool = False
    """Whether the database has said that the lease changed."""
    warm: int | None = None
    """The process that waits at the gate."""
    alive: int | None = None
    """The process that was let through, as long as it lives."""
    killed: bool = True
    """Whether nothing is left of what was killed last."""
    stuck: str | None = None
    """Why the scheduler counts as stuck, from health.py."""
    leaving: str | None = None
    """Why this instance will end soon, from AWS."""
    stopping: bool = False
    """Whether systemd asked the controller to end."""


@dataclass(frozen=True)
class State:
    """What one controller knows. Times are of its own CLOCK_BOOTTIME."""

    host: str
    holder: str
    """Unique to this run of the controller."""
    phase: Phase = Phase.STANDBY
    epoch: int = 0
    """What was granted to this run, or 0."""
    good_at: float = 0.0
    """When the last good renewal (or the acquisition) was sent."""
    under_way: Call | None = None
    sent_at: float = 0.0
    unanswered: int = 0
    """Polls in a row that were given up."""
    due_at: float = 0.0
    """When the next poll or renewal is due."""
    view: View | None = None
    view_at: float = 0.0
    """When the view arrived: the lease ends no later than what remained of it, from then."""
    considered: bool = False
    """Whether the lease was seen to be free, and left."""
    zeros: int = 0
    """Fences in a row that found no session."""
    fence_at: float = 0.0
    running: int | None = None
    """The process that was let through."""
    ending: str = ""
    ended_at: float = 0.0
    release: bool = False
    orphan: int = 0
    """An epoch that the database says is ours and that was never granted here: its answer was lost."""
    yield_until: float = 0.0
    free_since: float | None = None
    lost_at: float | None = None
    told_lost_at: float = 0.0
    refused_request: str | None = None
    dumped_at: float | None = None
    failures: tuple[float, ...] = ()
    foreign: tuple[HeldLock, ...] = ()
    foreign_at: float = 0.0
    takeovers: int = 0
    left: bool = False

    def limit(self, timings: Timings) -> float:
        """Seconds for the call under way."""
        if self.under_way is None or self.under_way.what is not What.POLL:
            return timings.limit
        return min(timings.limit * 2.0**self.unanswered, timings.patience)

    def ready(self, seen: Seen) -> bool:
        """Whether this host could take over."""
        waits = seen.warm is not None or self.running is not None
        return waits and seen.leaving is None and not seen.stopping

    def fed(self, seen: Seen, deadline: float) -> bool:
        """Whether the watchdog may be fed: nothing runs here that a lease no longer covers."""
        if self.running is None and seen.killed:
            return True
        return bool(self.epoch) and seen.now - self.good_at < deadline
