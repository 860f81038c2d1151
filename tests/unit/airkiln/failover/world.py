"""The world of the simulation: hosts around one database, an event queue for time, and what goes wrong.

The database has the semantics of the SQL functions, one transaction each. The invariants are checked after
every event.
"""

from __future__ import annotations

import copy
import heapq
from collections.abc import Callable
from functools import partial
from random import Random

from airkiln.failover.model import BlockingLock, Failure, Operation, Phase, Progress, Reply, Request
from tests.unit.airkiln.failover.committed import Database, T, Violation
from tests.unit.airkiln.failover.simulated_host import Host


class World:
    """All of it. Raises Violation when an invariant breaks."""

    def __init__(self, seed: int, hosts: int) -> None:
        self.chance = Random(seed)
        self.now = 0.0
        self.steps = 0
        self._numbers = 0
        self._queue: list[tuple[float, int, Callable[[], object]]] = []
        self.database = Database()
        self.timeline = 0
        self.copies: list[Database] = []
        self.database_down = False
        self.skew = 0.0
        """Of the database's clock."""
        self.job_locked = False
        """Whether somebody locks Airflow's table of jobs."""
        self.takeovers_fail = False
        """Whether every fence and adoption fails."""
        self.broker_down = False
        self.cut_off: set[str] = set()
        """Hosts that do not reach the broker."""
        self.loss: dict[str, float] = {}
        self.slow: set[str] = set()
        self.hosts: list[Host] = []
        for index in range(hosts):
            self.hosts.append(Host(self, f"h{index}"))

    def number(self) -> int:
        self._numbers += 1
        return self._numbers

    def after(self, delay: float, what: Callable[[], object]) -> None:
        heapq.heappush(self._queue, (self.now + delay, self.number(), what))

    def lossy(self, host: Host) -> float:
        return self.loss.get(host.name, 0.0)

    def delay(self, host: Host) -> float:
        if host.name in self.slow and self.chance.random() < 0.4:
            return self.chance.uniform(0.1, 3.0)
        return self.chance.uniform(0.0005, 0.01)

    def run(self, until: float) -> None:
        while self._queue and self._queue[0][0] <= until:
            self.now, _, what = heapq.heappop(self._queue)
            what()
            self.check()
        self.now = until

    # The functions, one transaction each

    def execute(self, host: Host, holder: str, call: Request, password: int) -> Reply:
        base, now = self.database, self.now + self.skew
        if call.operation is Operation.ACQUIRE:
            return base.acquire(holder, call, password, now)
        if call.operation in (Operation.POLL, Operation.RENEW):
            good = call.operation is Operation.RENEW and base.held(holder, call.epoch, now)
            if good:
                base.expires = now + T.lease_ttl
            base.hosts[host.name] = (now, call.ready)
            return Reply(call, view=base.view(host.name, now), done=good)
        if call.operation in (Operation.FENCE, Operation.ADOPT):
            return self.take_over(call)
        if call.operation is Operation.END_SESSION and not base.paused:
            self.job_locked = False
        if call.operation is Operation.RELEASE and base.held(holder, call.epoch, now):
            base.expires = now
            self.notify()
        if call.operation is Operation.CANCEL_SWITCHOVER:
            base.switchover_to = None
        locked = (BlockingLock(1, "1/1", "a migration"),) if self.job_locked else ()
        seen = Progress(None, locked=self.job_locked, busy=False)
        return Reply(call, done=True, locks=locked, progress=seen)

    def take_over(self, call: Request) -> Reply:
        if self.database.epoch != call.epoch:
            return Reply(call, failure=Failure.REFUSED, text="the epoch is over")
        if self.takeovers_fail:
            return Reply(call, failure=Failure.UNAVAILABLE, text="a statement fails")
        if call.operation is Operation.ADOPT:
            return Reply(call, number=None if self.job_locked else 1)
        return Reply(call, number=self.end_sessions(call.epoch))

    def end_sessions(self, epoch: int) -> int:
        left = [each.process for each in self.hosts if each.process and each.process.session]
        mine = self.database.roles[epoch].password if epoch in self.database.roles else -1
        left = [process for process in left if process.password != mine]
        for process in left:
            # A session ends a moment after it was told to.
            self.after(self.chance.uniform(0.0, 0.03), partial(setattr, process, "session", False))
        return len(left)

    def notify(self) -> None:
        for host in self.hosts:
            if self.chance.random() >= self.lossy(host):
                self.after(self.delay(host), partial(host.turn, notified=True))

    # What befalls it

    def misfortune(self) -> None:
        chance, host = self.chance, self.chance.choice(self.hosts)
        kinds: list[Callable[[], object]] = [
            host.scheduler_dies,
            host.controller_dies,
            lambda: self.freeze(host, chance.uniform(0.2, 12)),
            lambda: self.stop_controller(host, chance.uniform(0.2, 8)),
            lambda: host.suspend(chance.uniform(0.1, 10)),
            lambda: self.loss.update({host.name: chance.choice([0.0, 0.2, 0.5, 1.0])}),
            lambda: (self.slow.add if chance.random() < 0.6 else self.slow.discard)(host.name),
            lambda: self.outage(chance.uniform(0.2, 8)),
            self.fail_over,
            lambda: setattr(self, "skew", self.skew - chance.choice([0.5, 3.0, 600.0])),
            lambda: setattr(self, "job_locked", True),
            lambda: self.failing_takeovers(chance.uniform(0.5, 10)),
            lambda: (self.cut_off.add if chance.random() < 0.6 else self.cut_off.discard)(host.name),
            lambda: setattr(self, "broker_down", chance.random() < 0.6),
            lambda: self.leave(host, ends=chance.random() < 0.6),
            lambda: self.paused_outage(chance.uniform(3, 6)),
            lambda: self.ask("switchover_to", chance.choice(["*", host.name])),
            lambda: self.ask("paused", chance.random() < 0.3),
        ]
        if chance.random() < 0.3:
            self.copies = [*self.copies[-3:], copy.deepcopy(self.database)]
        chance.choice(kinds)()

    def ask(self, what: str, value: object) -> None:
        """What a person asks for by the commands."""
        setattr(self.database, what, value)
        self.notify()

    def leave(self, host: Host, *, ends: bool) -> None:
        """Metadata says that an instance ends soon, or that it stays after all."""
        host.leaving = "lifecycle state Standby" if ends else None
        host.turn()

    def freeze(self, host: Host, seconds: float) -> None:
        if host.frozen:
            return
        host.frozen = True

        def thaw() -> None:
            host.frozen = False
            host.turn()

        self.after(seconds, thaw)

    def stop_controller(self, host: Host, seconds: float) -> None:
        """SIGSTOP: the watchdog ends it before long."""
        if host.controller_stopped or host.dead:
            return
        host.controller_stopped, run = True, host.runs

        def watchdog() -> None:
            if host.controller_stopped and run == host.runs:
                host.controller_dies()

        def go_on() -> None:
            if run == host.runs:
                host.controller_stopped = False
                host.turn()

        self.after(T.watchdog_timeout / host.rate, watchdog)
        self.after(seconds, go_on)

    def outage(self, seconds: float) -> None:
        self.database_down = True
        self.cut_sessions()
        self.after(seconds, lambda: setattr(self, "database_down", False))

    def failing_takeovers(self, seconds: float) -> None:
        self.takeovers_fail = True
        self.after(seconds, lambda: setattr(self, "takeovers_fail", False))

    def paused_outage(self, seconds: float) -> None:
        self.ask("paused", True)
        self.outage(seconds)

    def fail_over(self) -> None:
        """A copy that lags becomes the database: the last commits are lost, roles and lease together."""
        if self.copies:
            self.database = copy.deepcopy(self.chance.choice(self.copies))
            self.copies = []
            self.timeline += 1
            self.cut_sessions()

    def cut_sessions(self) -> None:
        for host in self.hosts:
            if host.process:
                host.process.session = False

    # What must hold

    def writers(self) -> list[str]:
        """Who could write if it connected now: the password is right, and the role is a member of airflow."""
        roles = self.database.roles
        return [
            host.name
            for host in self.hosts
            if (process := host.process)
            and (role := roles.get(process.epoch))
            and role.password == process.password
            and role.member
        ]

    def check(self) -> None:
        if len(writers := self.writers()) > 1:
            raise Violation(f"{writers} can write")
        for host in self.hosts:
            watched = not (host.dead or host.frozen or host.controller_stopped)
            if watched and host.process and not host.dying:
                late = host.now() - host.renewed_at - T.self_fence_deadline
                if late > 0.01:
                    raise Violation(f"{host.name} runs {late:.2f} s past its deadline")

    def peace(self) -> None:
        """No misfortune from now on, and what was done is undone."""
        self.database_down = self.database.paused = self.job_locked = self.takeovers_fail = False
        self.broker_down = False
        self.cut_off.clear()
        self.database.switchover_to = None
        self.loss.clear()
        self.slow.clear()
        for host in self.hosts:
            host.frozen = host.controller_stopped = False
            host.leaving = None
            if host.dead:
                host.restart()
            host.turn()

    def settled(self) -> bool:
        leads = [host for host in self.hosts if host.process and host.state.phase is Phase.LEADING]
        return len(leads) == 1 and self.writers() == [leads[0].name]
