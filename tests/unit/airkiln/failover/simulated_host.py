"""A host of the simulation: a clock of its own, a controller that runs the real decisions, and a scheduler.

A host sends requests to the world's database and receives its replies, which may be lost or late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airkiln.failover import decision
from airkiln.failover.config import BROKER_EVERY, BROKER_TIMEOUT
from airkiln.failover.model import (
    Abandon,
    Exit,
    Failure,
    Kill,
    Observation,
    OpenGate,
    Operation,
    Reply,
    Request,
    State,
)
from tests.unit.airkiln.failover.committed import Role, T, Violation

if TYPE_CHECKING:
    from tests.unit.airkiln.failover.world import World


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
        self.broker_lost = False
        self.leaving: str | None = None
        """Why the instance ends soon; a lifecycle state such as Standby may be taken back."""
        self.restart()
        self.ask_broker()

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
            self.now(),
            answer,
            notified,
            warm=self.warm,
            alive=alive,
            killed=not self.dying,
            broker_lost=self.broker_lost,
            leaving=self.leaving,
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

    def ask_broker(self) -> None:
        """The probe: a question without an answer takes its timeouts."""
        lost = self.world.broker_down or self.name in self.world.cut_off
        takes = self.world.chance.uniform(0, 2 * BROKER_TIMEOUT) if lost else 0.01

        def answered() -> None:
            if not (self.dead or self.frozen or self.controller_stopped):
                self.broker_lost = lost
                self.turn()
            self.world.after(BROKER_EVERY / self.rate, self.ask_broker)

        self.world.after(takes / self.rate, answered)

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
