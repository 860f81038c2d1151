"""The simulation's database: what is committed, and the semantics of its functions."""

from __future__ import annotations

from dataclasses import dataclass, field

from airkiln.failover.config import Timings
from airkiln.failover.model import Reply, Request

T = Timings()


class Violation(AssertionError):  # noqa: N818 - what it is called where it is raised
    """An invariant does not hold."""


@dataclass
class Role:
    """A scheduler's role: whether it may still act, and its password."""

    password: int
    member: bool = True


@dataclass(frozen=True)
class Row:
    """A View."""

    holder: str
    epoch: int
    remaining: float
    paused: bool
    switchover_to: str | None
    standbys: int


@dataclass
class Database:
    """What is committed. A copy of it is another database, for better or worse."""

    holder: str = ""
    epoch: int = 0
    expires: float = -1.0
    ttl: float = T.lease_ttl
    paused: bool = False
    switchover_to: str | None = None
    hosts: dict[str, tuple[float, bool]] = field(default_factory=dict)
    roles: dict[int, Role] = field(default_factory=dict)

    def view(self, host: str, now: float) -> Row:
        standbys = sum(ready and now - seen < 3 for name, (seen, ready) in self.hosts.items() if name != host)
        return Row(self.holder, self.epoch, self.remaining(now), self.paused, self.switchover_to, standbys)

    def remaining(self, now: float) -> float:
        """An end that no acquisition or renewal can have set is of a clock that went back since."""
        seconds = self.expires - now
        return 0.0 if seconds > self.ttl + 1 else seconds

    def held(self, holder: str, epoch: int, now: float) -> bool:
        return self.holder == holder and self.epoch == epoch and self.expires > now

    def acquire(self, holder: str, call: Request, password: int, now: float) -> Reply:
        """One transaction: the older roles lose their rights, the new epoch's is made."""
        elsewhere = self.holder.rpartition("/")[0] != holder.rpartition("/")[0]
        if self.remaining(now) > 0 or (self.paused and elsewhere):
            return Reply(call)
        self.epoch = max([self.epoch, *self.roles]) + 1
        for role in self.roles.values():
            role.member = False
        for old in [epoch for epoch in self.roles if epoch < self.epoch - 2]:
            del self.roles[old]
        self.roles[self.epoch] = Role(password)
        self.holder, self.expires, self.switchover_to = holder, now + T.lease_ttl, None
        return Reply(call, number=self.epoch)
