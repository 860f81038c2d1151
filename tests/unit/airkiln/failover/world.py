"""A world of hosts around one database, with every kind of misfortune: the simulation's machinery.

Each host runs the real decision.py. The database has the functions' semantics, one transaction each; requests
and replies travel, are lost and are late, also after they were given up. Time is an event queue.
"""

from __future__ import annotations

import copy
import heapq
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random

from airkiln.failover import decision
from airkiln.failover.model import (
    Abandon,
    Exit,
    Failure,
    Kill,
    Observation,
    OpenGate,
    Operation,
    Phase,
    Reply,
    Request,
    State,
)
from tests.unit.airkiln.failover.committed import Database, Role, T, Violation


@dataclass
class Process:
    """A scheduler that was let through, with its login."""

    pid: int
    epoch: int
    password: int
    session: bool = True


class Host:
    """One machine: a clock of its own, a controller, at most one scheduler."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        chance = world.chance
        self.rate, self.offset = chance.choice([0.5, 0.9, 1.0, 1.0, 1.1, 2.0]), chance.uniform(0, 1e6)
        self.runs = 0
        self.frozen = self.controller_stopped = False
        self.dead = True
        self.warm: int | None = None
        self.process: Process | None = None
        self.dying = 0
        self.renewed_at = 0.0
        self.password = 0
        self.call_number = 0
        self.wake_number = 0
        self.restart()

    def now(self) -> float:
        return self.offset + self.world.now * self.rate

    def suspend(self, seconds: float) -> None:
        """The clock jumps, and the timers that it passed fire at once."""
        self.offset += seconds
        self.turn()

    def restart(self) -> None:
        self.runs += 1
        self.dead = self.controller_stopped = False
        self.state = State(self.name, f"{self.name}/{self.runs}")
        self.call_number += 1
        self.connect()
        self.warm = None
        self.warm_up()
        self.turn()

    def warm_up(self) -> None:
        run = self.runs

        def warmed() -> None:
            if run == self.runs and not self.dead and self.process is None and self.warm is None:
                self.warm = self.world.number()
                self.turn()

        self.world.after(self.world.chance.uniform(0.8, 3.0), warmed)

    def turn(self, answer: Reply | None = None, *, notified: bool = False) -> None:
        if self.dead or self.frozen or self.controller_stopped:
            return
        alive = self.process.pid if self.process else None
        observed = Observation(
            self.now(), answer, notified, warm=self.warm, alive=alive, killed=not self.dying
        )
        decided = decision.decide(self.state, observed, T)
        self.state = decided.state
        for action in decided.actions:
            match action:
                case Request():
                    self.send(action)
                case Abandon():
                    self.call_number += 1
                    self.connect()
                case OpenGate():
                    self.open(action)
                case Kill():
                    self.kill()
                case Exit():
                    self.dead = True
        self.world.steps += 1
        self.wake_number += 1
        number = self.wake_number
        delay = max(0.0, decision.wake_at(self.state, T) - self.now()) / self.rate

        def woken() -> None:
            if number == self.wake_number:
                self.turn()

        self.world.after(delay + 1e-6, woken)

    def connect(self) -> None:
        """The connection is to the database of that moment, and ends with it."""
        self.timeline = self.world.timeline

    def send(self, call: Request) -> None:
        self.call_number += 1
        number, run, sent_at = self.call_number, self.runs, self.now()
        world, holder = self.world, self.state.holder
        password = world.number()
        timeline = self.timeline

        def executed() -> None:
            if world.database_down or timeline != world.timeline:
                refused = Reply(call, failure=Failure.UNAVAILABLE, text="refused")
                world.after(world.delay(self), lambda: arrive(refused))
            elif world.chance.random() >= world.lossy(self):
                answer = world.execute(self, holder, call, password)
                if world.chance.random() >= world.lossy(self):
                    world.after(world.delay(self), lambda: arrive(answer))

        def arrive(answer: Reply) -> None:
            if number != self.call_number or run != self.runs or self.dead:
                return
            if self.frozen or self.controller_stopped:
                world.after(0.05, lambda: arrive(answer))
                return
            if answer.failure is None and timeline != world.timeline:
                answer = Reply(call, failure=Failure.UNAVAILABLE, text="connection lost")
            if answer.failure is Failure.UNAVAILABLE:
                self.connect()
            if call.operation is Operation.ACQUIRE and answer.number:
                self.password, self.renewed_at = password, sent_at
            if call.operation is Operation.RENEW and answer.done:
                self.renewed_at = sent_at
            self.turn(answer)

        world.after(world.delay(self), executed)

    def open(self, action: OpenGate) -> None:
        self.warm = None
        self.process = Process(action.pid, action.epoch, self.password)
        older = [
            host.name
            for host in self.world.hosts
            if host.process
            and host.process is not self.process
            and host.process.session
            and self.world.database.roles.get(action.epoch, Role(-1)).password == self.password
        ]
        if older:
            raise Violation(f"{self.name} opened its gate in epoch {action.epoch}: {older} have sessions")

    def kill(self) -> None:
        self.warm = None
        if self.process is None:
            return
        self.dying += 1
        victim, slow = self.process, self.world.chance.random() < 0.02
        delay = self.world.chance.uniform(0.001, 0.05) if not slow else 0.6 / self.rate

        def gone() -> None:
            self.dying = max(0, self.dying - 1)
            if self.process is victim:
                self.process = None
            self.warm_up()
            self.turn()

        self.world.after(delay, gone)

    def scheduler_dies(self) -> None:
        if self.process or self.warm:
            self.process = self.warm = None
            self.warm_up()
            self.turn()

    def controller_dies(self) -> None:
        """SIGKILL, of whomever: the gate closes, clean-up releases if it can, systemd starts it again."""
        if self.dead:
            return
        state, epoch = self.state, self.state.epoch
        self.dead, self.process, self.warm, self.dying = True, None, None, 0
        if epoch and not self.world.database_down and self.world.chance.random() > self.world.lossy(self):
            self.world.execute(self, state.holder, Request(Operation.RELEASE, epoch), 0)
        self.world.after(self.world.chance.uniform(0.3, 2.0), lambda: self.restart() if self.dead else None)


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
        base, now = self.database, self.now
        if call.operation is Operation.ACQUIRE:
            return base.acquire(holder, call, password, now)
        if call.operation in (Operation.POLL, Operation.RENEW):
            good = call.operation is Operation.RENEW and base.held(holder, call.epoch, now)
            if good:
                base.expires = now + T.lease_ttl
            base.hosts[host.name] = (now, call.ready)
            return Reply(call, view=base.view(host.name, now), done=good)
        if call.operation in (Operation.FENCE, Operation.ADOPT):
            if base.epoch != call.epoch:
                return Reply(call, failure=Failure.REFUSED, text="the epoch is over")
            if call.operation is Operation.ADOPT:
                return Reply(call, number=1)
            return Reply(call, number=self.end_sessions(call.epoch))
        if call.operation is Operation.RELEASE and base.held(holder, call.epoch, now):
            base.expires = now
            self.notify()
        if call.operation is Operation.CANCEL_SWITCHOVER:
            base.switchover_to = None
        return Reply(call, done=True)

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
        self.database_down = self.database.paused = False
        self.database.switchover_to = None
        self.loss.clear()
        self.slow.clear()
        for host in self.hosts:
            host.frozen = host.controller_stopped = False
            if host.dead:
                host.restart()
            host.turn()

    def settled(self) -> bool:
        leads = [host for host in self.hosts if host.process and host.state.phase is Phase.LEADING]
        return len(leads) == 1 and self.writers() == [leads[0].name]
