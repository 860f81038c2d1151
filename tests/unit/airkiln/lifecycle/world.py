"""A host, its systemd and its group as the decision sees them: it carries out actions and moves time on."""

from __future__ import annotations

from dataclasses import dataclass, field

from airkiln.lifecycle.decision import decide
from airkiln.lifecycle.model import (
    Action,
    ClearUnfinished,
    Complete,
    Heartbeat,
    HookReply,
    KillWorkers,
    Limits,
    Mark,
    Note,
    Observation,
    Stage,
    State,
    StopWorkers,
    Unit,
)

LIMITS = Limits()


@dataclass
class Worker:
    """One generation. `busy` seconds from the stop until its tasks have ended."""

    busy: float = 0.0
    limit: float = 43200.0
    stage: Stage = Stage.RUNNING
    since: float | None = None
    failed: bool = False

    def stop(self, now: float) -> None:
        if self.stage is Stage.RUNNING:
            self.stage, self.since = Stage.STOPPING, now

    def end(self, *, failed: bool) -> None:
        self.stage, self.since, self.failed = Stage.ENDED, None, failed


@dataclass
class World:
    """`now` starts where machines have been up for a while. Calls take `latency` seconds."""

    workers: dict[int, Worker] = field(default_factory=lambda: {1: Worker()})
    now: float = 1000.0
    lifecycle: str | None = "InService"
    spot_end: float | None = None
    rebalance: bool = False
    marked: str | None = None
    latency: float = 0.3
    hook_replies: list[HookReply] = field(default_factory=list)
    clear_replies: list[int] = field(default_factory=list)
    state: State = field(default_factory=State)
    log: list[tuple[float, Action]] = field(default_factory=list)
    _hook: tuple[float, HookReply] | None = None
    _clear: tuple[float, int] | None = None

    def units(self) -> tuple[Unit, ...]:
        return tuple(
            Unit(number, each.stage, each.since, each.limit, failed=each.failed)
            for number, each in sorted(self.workers.items())
        )

    def observe(self) -> Observation:
        hook = cleared = None
        if self._hook is not None and self._hook[0] <= self.now:
            hook, self._hook = self._hook[1], None
        if self._clear is not None and self._clear[0] <= self.now:
            cleared, self._clear = self._clear[1], None
        return Observation(
            self.now,
            self.lifecycle,
            self.spot_end,
            self.rebalance,
            self.marked,
            self.units(),
            hook,
            cleared,
        )

    def observe_again(self) -> Observation:
        """An observation that takes no reply."""
        return Observation(self.now, self.lifecycle, self.spot_end, self.rebalance, self.marked, self.units())

    def turn(self, seconds: float = 1.0) -> tuple[Action, ...]:
        """One observation and what follows, then time."""
        decision = decide(self.state, self.observe(), LIMITS)
        self.state = decision.state
        for action in decision.actions:
            self.log.append((self.now, action))
            self._carry_out(action)
        self.now += seconds
        for worker in self.workers.values():
            if worker.stage is Stage.STOPPING and worker.since is not None:
                if self.now - worker.since >= worker.limit:
                    worker.end(failed=True)
                elif self.now - worker.since >= worker.busy:
                    worker.end(failed=False)
        return decision.actions

    def run(self, seconds: float) -> World:
        until = self.now + seconds
        while self.now < until:
            self.turn()
        return self

    def restart_daemon(self) -> None:
        """What the daemon remembered is gone; so are its calls."""
        self.state, self._hook, self._clear = State(), None, None

    def at(self, kind: type[Action]) -> list[float]:
        """When actions of a kind were taken."""
        return [when for when, action in self.log if isinstance(action, kind)]

    def notes(self) -> list[str]:
        return [action.event for _, action in self.log if isinstance(action, Note)]

    def _carry_out(self, action: Action) -> None:
        match action:
            case Mark():
                self.marked = action.reason
            case StopWorkers():
                for each in action.generations:
                    self.workers[each].stop(self.now)
            case KillWorkers():
                for each in action.generations:
                    self.workers[each].end(failed=True)
            case Heartbeat() | Complete():
                assert self._hook is None, "one call at a time"
                reply = self.hook_replies.pop(0) if self.hook_replies else HookReply.DONE
                self._hook = (self.now + self.latency, reply)
            case ClearUnfinished():
                assert self._clear is None, "one clearing at a time"
                self._clear = (
                    self.now + self.latency,
                    self.clear_replies.pop(0) if self.clear_replies else 0,
                )
            case Note():
                pass
