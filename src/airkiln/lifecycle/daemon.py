"""`airkiln lifecycle run`: observes once a second, decides, and carries out.

Everything it knows comes anew with each observation: from systemd, from instance metadata, from the mark on
this host. A daemon that is restarted during a drain goes on with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from airkiln.errors import AirkilnError
from airkiln.host import environment, files, instance
from airkiln.host.clock import boottime
from airkiln.host.daemon import Status, Stop, run_every
from airkiln.host.layout import Layout
from airkiln.host.notices import NoticeWatcher
from airkiln.lifecycle import airflow_api, clearing
from airkiln.lifecycle.airflow_api import Task
from airkiln.lifecycle.background import Background
from airkiln.lifecycle.decision import decide
from airkiln.lifecycle.hook import Hook
from airkiln.lifecycle.model import (
    Action,
    ClearUnfinished,
    Complete,
    Heartbeat,
    HookCall,
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
from airkiln.lifecycle.runtime import RuntimeDirectory
from airkiln.lifecycle.units import Units
from airkiln.pools import settings as pools
from airkiln.pools.model import DEFAULT, Pool
from airkiln.systemd.journal import NOTICE, RateLimit, say

EVERY = 1.0
"""Seconds between two observations: by so much a drain begins late, at most."""
CLEARING_FAILED = -1


@dataclass
class Parts:
    """What the daemon works with; a test gives its own."""

    layout: Layout = field(default_factory=Layout)
    directory: RuntimeDirectory = field(default_factory=RuntimeDirectory)
    units: Units = field(default_factory=Units)
    watcher: NoticeWatcher = field(default_factory=lambda: NoticeWatcher(known=instance.read(Layout())))
    hook: Hook = field(default_factory=Hook)
    clear: Callable[..., list[Task]] = clearing.clear
    limits: Limits = field(default_factory=Limits)
    clock: Callable[[], float] = boottime


class Daemon:
    """One run of the daemon. `turn` is one observation and what follows from it."""

    def __init__(self, parts: Parts | None = None) -> None:
        self._parts = parts or Parts()
        self._state = State()
        self._units: tuple[Unit, ...] = ()
        self._hook_call: Background[HookReply] = Background("hook", HookReply.FAILED)
        self._clearing: Background[int] = Background("clear", CLEARING_FAILED)
        self._failures = RateLimit(clock=self._parts.clock)
        self._pool_read: tuple[object, Pool] | None = None
        self._status = Status()

    def run(self) -> None:
        """Run until a signal comes. The end of the daemon stops no worker."""
        self._parts.watcher.start()
        say("event=started reason=watching for the end of this host")
        run_every(EVERY, self.turn, Stop())

    def turn(self) -> None:
        """Observe, decide, carry out. Where systemd does not answer, the next turn tries again."""
        observed = self._observe()
        if observed is None:
            return
        decision = decide(self._state, observed, self._parts.limits)
        self._state = decision.state
        for action in decision.actions:
            self._carry_out(action)
        self._show(observed)

    def _observe(self) -> Observation | None:
        # Before the units: a worker that would start after the mark does not (a condition of its unit).
        marked = self._parts.directory.marked()
        try:
            self._units = self._parts.units.observe()
        except AirkilnError as error:
            self._report("systemd", str(error))
            return None
        notices = self._parts.watcher.notices
        return Observation(
            self._parts.clock(),
            lifecycle=notices.lifecycle,
            spot_end=notices.spot.end if notices.spot is not None else None,
            rebalance=notices.rebalance and self._follows_recommendations(),
            marked=marked,
            units=self._units,
            hook=self._hook_call.take(),
            cleared=self._clearing.take(),
        )

    def _carry_out(self, action: Action) -> None:
        match action:
            case Mark():
                self._mark(action.reason)
            case StopWorkers():
                self._parts.units.stop(action.generations)
            case Heartbeat():
                self._hook_call.start(lambda: self._call_hook(HookCall.HEARTBEAT))
            case Complete():
                self._hook_call.start(lambda: self._call_hook(HookCall.COMPLETE))
            case ClearUnfinished():
                self._clearing.start(lambda: self._clear(action))
            case KillWorkers():
                self._parts.units.kill(action.generations)
            case Note():
                say(f"event={action.event} reason={action.reason}", action.priority)

    def _mark(self, reason: str) -> None:
        try:
            self._parts.directory.mark(reason)
        except OSError as error:
            self._report("mark", f"{self._parts.directory.draining}: {error.strerror}")

    def _call_hook(self, which: HookCall) -> HookReply:
        reply = self._parts.hook.call(which, instance.read(self._parts.layout))
        if reply is HookReply.FAILED:
            self._report("autoscaling", f"{which} failed: {self._parts.hook.failure}: tried again")
        return reply

    def _clear(self, wanted: ClearUnfinished) -> int:
        try:
            tasks = self._parts.clear(airflow_api.login(self._variables()), wanted)
        except AirkilnError as error:
            self._report("clear", " ".join(str(error).split()))
            return CLEARING_FAILED
        for task in tasks:
            what = f"dag={task.dag} run={task.run} task={task.task} index={task.index}"
            say(f"event=cleared {what} reason=its worker is about to end", NOTICE)
        return len(tasks)

    def _follows_recommendations(self) -> bool:
        """Whether the pool drains on a recommendation to rebalance; as before where that cannot be read."""
        try:
            written = self._parts.layout.run_env.stat().st_mtime_ns
            if self._pool_read is None or self._pool_read[0] != written:
                self._pool_read = (written, self._pool(self._variables()))
        except (OSError, AirkilnError) as error:
            self._report("pool", str(error))
        return self._pool_read is not None and self._pool_read[1].rebalance == "drain"

    def _variables(self) -> dict[str, str]:
        """The variables of this host as they are now: a reload changes them."""
        layout = self._parts.layout
        return environment.read_optional(layout.static_env, layout.run_env, layout.admin_env)

    def _pool(self, variables: dict[str, str]) -> Pool:
        return pools.own(variables, instance.read(self._parts.layout).pool or DEFAULT)

    def _show(self, observed: Observation) -> None:
        """Show the state in `systemctl status` and in the runtime directory."""
        left = sum(unit.stage is not Stage.ENDED for unit in observed.units)
        reason = self._state.reason
        text = f"draining ({reason}), {left} still running" if reason else f"working, {left} running"
        if not self._status.show(text):
            return
        known = {"status": text, "lifecycle": observed.lifecycle, "state": asdict(self._state)}
        with suppress(OSError):
            files.replace(self._parts.directory.state, json.dumps(known, default=list) + "\n")

    def _report(self, what: str, text: str) -> None:
        self._failures.say(what, f"event=failed what={what} reason={text}")
