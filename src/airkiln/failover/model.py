"""The values that the controller decides with: settings, state, observation and actions. See decision.py.

Times are in seconds of this host's CLOCK_BOOTTIME, unless they say otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from airkiln.failover.config import Timings


class LeaseView(Protocol):
    """The lease as the database describes it to a poll or a renewal, on its own clock."""

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
        """Whether an operator has forbidden takeovers."""

    @property
    def switchover_to(self) -> str | None:
        """The host that an operator wants to lead, `*` for any other, None without a request."""

    @property
    def standbys(self) -> int:
        """Other hosts that are ready and polled within the time that they named."""


class Phase(StrEnum):
    """The phase of a controller."""

    STANDBY = "standby"
    FENCING = "fencing"
    """An epoch is granted: the sessions of all older epochs are being ended."""
    ADOPTING = "adopting"
    LEADING = "leading"
    """The gate was opened."""
    ENDING = "ending"
    """What was let through is killed; then the lease is released."""


class Operation(StrEnum):
    """The kind of a request to the database."""

    POLL = "poll"
    RENEW = "renew"
    ACQUIRE = "acquire"
    FENCE = "fence"
    ADOPT = "adopt"
    PROGRESS = "progress"
    RELEASE = "release"
    BLOCKING_LOCKS = "blocking_locks"
    END_SESSION = "end_session"
    CANCEL_SWITCHOVER = "cancel_switchover"


class Failure(StrEnum):
    """Why a request has no result."""

    UNAVAILABLE = "unavailable"
    """Not reached, too slow, or the connection was lost: it may have been carried out all the same."""
    REFUSED = "refused"
    """The database refuses it: the epoch has moved on."""


@dataclass(frozen=True)
class BlockingLock:
    """A lock of another session that a scheduler needs."""

    pid: int
    transaction: str
    text: str
    """The session and the lock, for the journal."""
    at_once: bool = False
    """Whether the session is a worker's: none of them has business with such a lock, however short."""


@dataclass(frozen=True)
class Progress:
    """What the database knows of the leader's scheduler."""

    heartbeat: datetime | None
    """The latest heartbeat of the newest running scheduler."""
    locked: bool
    """Whether a lock on Airflow's table of jobs hides the heartbeat."""
    busy: bool
    """Whether the server is working for the scheduler."""


@dataclass(frozen=True)
class ObservedLock:
    """A blocking lock, and since when it has been observed."""

    lock: BlockingLock
    since: float
    reported: bool = False


@dataclass(frozen=True)
class Request:
    """Action: send this request to the database. One is in flight at a time."""

    operation: Operation
    epoch: int = 0
    ready: bool = False
    reason: str = ""
    pid: int = 0
    transaction: str = ""


@dataclass(frozen=True)
class Abandon:
    """Action: give up the request in flight and its connection."""


@dataclass(frozen=True)
class Kill:
    """Action: close the gate, withdraw the credentials, kill the leader units' control groups."""


@dataclass(frozen=True)
class OpenGate:
    """Action: write the credentials of this epoch and let this process through."""

    pid: int
    epoch: int


@dataclass(frozen=True)
class StartFollowers:
    """Action: start the units that follow the scheduler, such as the DAG processor."""


@dataclass(frozen=True)
class DumpStacks:
    """Action: have this process write its stacks to the journal."""

    pid: int


@dataclass(frozen=True)
class ReportUnhealthy:
    """Action: have the Auto Scaling group replace this instance."""

    reason: str


@dataclass(frozen=True)
class Note:
    """Action: write a line to the journal."""

    event: str
    epoch: int
    reason: str
    priority: int


@dataclass(frozen=True)
class Exit:
    """Action: end the controller; it leads nothing."""


Action = Request | Abandon | Kill | OpenGate | StartFollowers | DumpStacks | ReportUnhealthy | Note | Exit


@dataclass(frozen=True)
class Reply:
    """The result of the request in flight, as its operation has one; none with a failure."""

    request: Request
    view: LeaseView | None = None
    """Of a poll or a renewal."""
    number: int | None = None
    """The epoch of an acquisition (None: another host was faster), the sessions left by a fence, or the jobs
    that were adopted (None: a lock is in the way)."""
    done: bool = False
    """Whether a renewal or a release was carried out."""
    locks: tuple[BlockingLock, ...] = ()
    progress: Progress | None = None
    failure: Failure | None = None
    text: str = ""
    """The failure, for the journal."""


@dataclass(frozen=True)
class Observation:
    """What is known at one moment."""

    now: float
    """CLOCK_BOOTTIME: it runs on while the machine is suspended."""
    reply: Reply | None = None
    notified: bool = False
    """Whether the database has notified that the lease changed."""
    warm: int | None = None
    """The process that waits at the gate."""
    alive: int | None = None
    """The process that was let through, as long as it lives."""
    killed: bool = True
    """Whether nothing is left of what was killed last."""
    stuck: str | None = None
    """Why the scheduler counts as stuck, from health.py."""
    broker_lost: bool = False
    """Whether this host does not reach the broker, from broker.py."""
    leaving: str | None = None
    """Why this instance ends soon, from instance metadata."""
    stopping: bool = False
    """Whether the controller is to end: a signal has come."""


@dataclass(frozen=True)
class State:
    """What one controller remembers."""

    host: str
    holder: str
    """This run of the controller, among all runs of all hosts."""
    phase: Phase = Phase.STANDBY
    epoch: int = 0
    """The epoch granted to this run, or 0."""
    renewed_at: float = 0.0
    """When the last successful renewal (or the acquisition) was sent."""
    in_flight: Request | None = None
    sent_at: float = 0.0
    polls_given_up: int = 0
    """Polls in a row that got no reply in time."""
    due_at: float = 0.0
    """When the next poll or renewal is due."""
    view: LeaseView | None = None
    view_at: float = 0.0
    """When the view arrived: the lease ends no later than its remaining time from then."""
    passed_over: bool = False
    """Whether the lease was found free and is not for this host: no timer is set for it."""
    empty_fences: int = 0
    """Fences in a row that found no session."""
    fence_at: float = 0.0
    adopt_at: float = 0.0
    """When the adoption is due."""
    adoption_waits: bool = False
    """Whether a lock was in the way of the adoption."""
    running: int | None = None
    """The process that was let through."""
    ending: str = ""
    """Why it ends."""
    ended_at: float = 0.0
    release: bool = False
    """Whether the lease is to be released then."""
    orphan: int = 0
    """An epoch that the database says is ours and that was never granted here: its reply was lost."""
    yield_until: float = 0.0
    gave_up_epoch: int = 0
    """The epoch that was given up; what it leaves to others ends where one of them has led since."""
    retry_at: float = 0.0
    """Until when this host takes nothing over, for its last takeovers failed."""
    failed_takeovers: int = 0
    """In a row."""
    free_since: float | None = None
    lost_at: float | None = None
    """Since when the database cannot be reached."""
    reported_lost_at: float = 0.0
    waiting_reported_at: float = 0.0
    """When the journal last said that the lease is free and takeovers are paused."""
    refused_switchover: str | None = None
    """The target of a switchover that was refused because no other host is ready."""
    cut_off_at: float | None = None
    """Since when this leader does not reach the broker while another host is ready, and so reaches it."""
    dumped_at: float | None = None
    failures: tuple[float, ...] = ()
    """When the scheduler was stuck."""
    locks: tuple[ObservedLock, ...] = ()
    locks_due_at: float = 0.0
    progress_due_at: float = 0.0
    unseen: bool = False
    """Whether the last question for the scheduler's progress found no answer: nothing counts against it."""
    takeovers: int = 0
    exited: bool = False

    def call_timeout(self, timings: Timings) -> float:
        """Seconds for the request in flight. A poll has twice as long after each one that was given up."""
        if self.in_flight is None or self.in_flight.operation is not Operation.POLL:
            return timings.call_timeout
        return min(timings.call_timeout * 2.0**self.polls_given_up, timings.poll_timeout_max)

    def ready(self, observed: Observation) -> bool:
        """Whether this host could take over, and its scheduler could send tasks."""
        loaded = observed.warm is not None or self.running is not None
        stays = observed.leaving is None and not observed.stopping
        return loaded and stays and not observed.broker_lost

    def may_feed_watchdog(self, observed: Observation, timings: Timings) -> bool:
        """Whether nothing runs here that the lease no longer covers."""
        if self.running is None and observed.killed:
            return True
        return bool(self.epoch) and observed.now - self.renewed_at < timings.self_fence_deadline
