"""`airkiln lifecycle run`: the loop around decision.py. It waits for nothing but the next look.

What it knows comes anew with each look: from systemd, from the instance's metadata, from the mark on this
host. A daemon that is restarted in the middle of a drain goes on with it.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from types import FrameType

from airkiln.errors import AirkilnError
from airkiln.host.layout import Layout
from airkiln.lifecycle import restart
from airkiln.lifecycle import runtime as place
from airkiln.lifecycle.background import Background
from airkiln.lifecycle.decision import step
from airkiln.lifecycle.hook import Hook
from airkiln.lifecycle.model import (
    Action,
    ClearUnfinished,
    Complete,
    Heartbeat,
    HookAnswer,
    KillWorkers,
    Limits,
    Mark,
    Note,
    Seen,
    Stage,
    State,
    StopWorkers,
    Told,
    Unit,
)
from airkiln.lifecycle.sources import Sources, boottime
from airkiln.lifecycle.units import Units
from airkiln.pools import settings as pools
from airkiln.pools.settings import Pool
from airkiln.systemd import notify
from airkiln.systemd.journal import NOTICE, WARNING, say

LOOK_EVERY = 1.0
"""Seconds between two looks: a drain is begun, and a hook completed, that late at most."""
TELL_EVERY = 600.0
"""Seconds between two lines about the same failure."""

CLEARING_FAILED = -1


@dataclass
class Parts:
    """What the daemon is made of; a test gives its own."""

    layout: Layout = field(default_factory=Layout)
    folder: place.Folder = field(default_factory=place.Folder)
    units: Units = field(default_factory=Units)
    sources: Sources = field(default_factory=Sources)
    hook: Hook = field(default_factory=Hook)
    clear: Callable[..., list[restart.Task]] = restart.clear
    limits: Limits = field(default_factory=Limits)
    clock: Callable[[], float] = boottime


class Daemon:
    """One run."""

    def __init__(self, parts: Parts | None = None) -> None:
        self._parts = parts or Parts()
        self._state = State()
        self._units: tuple[Unit, ...] = ()
        self._telling: Background[HookAnswer] = Background("hook", HookAnswer.FAILED)
        self._clearing: Background[int] = Background("clear", CLEARING_FAILED)
        self._stop = threading.Event()
        self._told: dict[str, float] = {}
        self._pool_of: tuple[object, str] | None = None
        self._shown = ""

    def run(self) -> None:
        """Until it is told to stop. Its end stops nothing else."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stopped)
        self._parts.sources.start()
        say("event=started reason=this host's end is looked for")
        notify.send("READY=1")
        while not self._stop.is_set():
            self.turn()
            notify.send("WATCHDOG=1")
            self._stop.wait(LOOK_EVERY)
        notify.send("STOPPING=1")

    def turn(self) -> None:
        """One look, and what follows from it. A systemd that does not answer is asked again by the next."""
        seen = self._look()
        if seen is None:
            return
        self._state, actions = step(self._state, seen, self._parts.limits)
        for action in actions:
            self._carry_out(action)
        self._show(seen)

    def _look(self) -> Seen | None:
        # Before the units: what is to start after the mark does not (a condition of its unit).
        marked = self._parts.folder.marked()
        try:
            self._units = self._parts.units.look()
        except AirkilnError as error:
            self._complain("systemd", str(error))
            return None
        announced = self._parts.sources.announced
        return Seen(
            self._parts.clock(),
            target=announced.target,
            spot_end=announced.spot_end,
            rebalance=announced.rebalance and self._rebalances(),
            marked=marked,
            units=self._units,
            hook=self._telling.take(),
            cleared=self._clearing.take(),
        )

    def _carry_out(self, action: Action) -> None:
        match action:
            case Mark():
                self._mark(action.reason)
            case StopWorkers():
                self._parts.units.stop(action.generations)
            case Heartbeat():
                self._telling.start(lambda: self._tell(Told.HEARTBEAT))
            case Complete():
                self._telling.start(lambda: self._tell(Told.COMPLETE))
            case ClearUnfinished():
                self._clearing.start(lambda: self._clear(action))
            case KillWorkers():
                self._parts.units.kill(action.generations)
            case Note():
                say(f"event={action.event} reason={action.reason}", action.priority)

    def _mark(self, why: str) -> None:
        try:
            self._parts.folder.mark(why)
        except OSError as error:
            self._complain("mark", f"{self._parts.folder.draining}: {error.strerror}")

    def _tell(self, told: Told) -> HookAnswer:
        answer = self._parts.hook.tell(told, place.host(self._parts.layout))
        if answer is HookAnswer.FAILED:
            self._complain("autoscaling", f"{told} failed: {self._parts.hook.trouble}: tried again")
        return answer

    def _clear(self, order: ClearUnfinished) -> int:
        try:
            known = place.variables(self._parts.layout)
            tasks = self._parts.clear(place.login(known), order, self._queues(known))
        except AirkilnError as error:
            self._complain("clear", " ".join(str(error).split()))
            return CLEARING_FAILED
        for task in tasks:
            what = f"dag={task.dag} run={task.run} task={task.task} index={task.index}"
            say(f"event=cleared {what} reason=its worker is about to end", NOTICE)
        return len(tasks)

    def _queues(self, known: dict[str, str]) -> tuple[str, ...]:
        """Those of the pool, which shorten the search. All of them where they may just have been changed."""
        if any(unit.generation > 1 for unit in self._units):
            return ()
        return pools.own(known, place.host(self._parts.layout).pool).queues

    def _rebalances(self) -> bool:
        """Whether the pool follows recommendations; as it was where that cannot be read."""
        layout = self._parts.layout
        try:
            written = layout.run_env.stat().st_mtime_ns
            if self._pool_of is None or self._pool_of[0] != written:
                self._pool_of = (written, self._pool(layout).rebalance)
        except (OSError, AirkilnError) as error:
            self._complain("pool", str(error))
        return self._pool_of is not None and self._pool_of[1] == "drain"

    def _pool(self, layout: Layout) -> Pool:
        return pools.own(place.variables(layout), place.host(layout).pool)

    def _show(self, seen: Seen) -> None:
        """For `systemctl status` and `airkiln lifecycle status`."""
        left = sum(unit.stage is not Stage.ENDED for unit in seen.units)
        why = self._state.reason
        status = f"draining ({why}), {left} still running" if why else f"working, {left} running"
        if status == self._shown:
            return
        self._shown = status
        notify.send(f"STATUS={status}")
        known = {"status": status, "target": seen.target, "state": asdict(self._state)}
        with suppress(OSError):
            draft = self._parts.folder.state.with_suffix(".new")
            draft.write_text(json.dumps(known, default=list) + "\n", encoding="utf-8")
            draft.replace(self._parts.folder.state)

    def _complain(self, what: str, text: str) -> None:
        now = self._parts.clock()
        if now - self._told.get(what, -TELL_EVERY) >= TELL_EVERY:
            self._told[what] = now
            say(f"event=failed what={what} reason={text}", WARNING)

    def _stopped(self, number: int, _frame: FrameType | None) -> None:
        say(f"event=stopping reason={signal.Signals(number).name}")
        self._stop.set()
