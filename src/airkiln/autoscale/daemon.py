"""`airkiln autoscale run`: every ten seconds it observes the pools, decides about each, and carries out.

Nothing is stored. What a leader remembers ends with it, and its successor terminates no worker before it has
observed a whole cool-down.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from airkiln.autoscale.amazon import Usage
from airkiln.autoscale.apply import BUDGET, Applier
from airkiln.autoscale.decision import decide, not_terminated
from airkiln.autoscale.demand import Source, Totals, by_pool
from airkiln.autoscale.figures import Figures, metrics, of_environment
from airkiln.autoscale.model import Action, Demand, Group, Kind, Note, Observation, State
from airkiln.autoscale.settings import Settings
from airkiln.errors import AirkilnError, DeniedError, RefusedError
from airkiln.host.daemon import Status, Stop, run_every
from airkiln.systemd import notify
from airkiln.systemd.journal import INFO, NOTICE, say

EVERY = 10.0
"""Seconds from one cycle to the next."""
SAY_EVERY = 60.0
"""Seconds between two lines about a pool where nothing new is decided."""


@dataclass(frozen=True, slots=True)
class View:
    """One pool at one moment, and what was decided."""

    observed: Observation
    actions: tuple[Action, ...]

    @property
    def note(self) -> Note:
        """What was decided, in a word and a reason."""
        last = self.actions[-1]
        if not isinstance(last, Note):
            raise TypeError("a decision ends with its note")
        return last


class Daemon:
    """One run of the daemon. `turn` is one cycle."""

    def __init__(self, settings: Settings, database: Source, applier: Applier, figures: Figures) -> None:
        self._environment, self._clock = applier.environment, applier.clock
        self._settings = settings
        self._database = database
        self._applier = applier
        self._figures = figures
        self._failures = applier.failures
        self._states: dict[str, State] = {}
        self._said: dict[str, tuple[float, Kind, int]] = {}
        self._status = Status()

    def run(self) -> None:
        """Run until a signal comes."""
        self._figures.start()
        say(f"event=started environment={self._environment} pools={','.join(self._settings.pools)}")
        run_every(EVERY, self.turn, Stop(), self._clock)

    def turn(self) -> None:
        """One cycle."""
        began = self._clock()
        self._settings.refresh(self._failures)
        pools = self._settings.pools
        try:
            leads = self._database.leads()
        except (DeniedError, RefusedError):
            raise  # the next start reads the login again
        except AirkilnError as error:
            self._failures.report("database-away", str(error))
            self._status.show("no database: capacity stays")
            for name in pools:
                self._decide(name, Observation(self._clock(), time.time(), None, None), {})
            return
        if not leads:
            # Another host decides: what is remembered here is out of date when this host leads again.
            self._states.clear()
            self._said.clear()
            self._status.show("another host leads")
            return
        self._alive()
        groups = self._applier.observe(pools)
        self._alive()
        totals = self._count()
        usage = self._figures.usage(pools)
        offered = []
        decided = {}
        for name in pools:
            group = groups.get(name)
            demand = None if totals is None else totals.of(name, group)
            view = self._decide(name, Observation(self._clock(), time.time(), demand, group), usage)
            if demand is not None:
                offered += metrics(self._environment, name, demand, group, view.note.wanted)
            decided[name] = view.actions
        done = self._applier.carry_out(decided, began + BUDGET)
        if not done.leads:
            self._states.clear()
            return
        for name, state in self._states.items():
            self._states[name] = not_terminated(state, done.not_terminated)
        self._alive()
        self._figures.offer([*offered, *of_environment(self._environment, groups.values())])
        if totals is not None:
            self._report_without_pool(totals)
        workers = sum(group.desired for group in groups.values())
        self._status.show(f"{len(groups)} of {len(pools)} pools, {workers} workers")

    def _count(self) -> Totals | None:
        try:
            return by_pool(self._database.count(), self._settings.pools, self._settings.executors)
        except AirkilnError as error:
            self._failures.report("database-away", str(error))
            return None

    def _decide(self, name: str, observed: Observation, usage: Mapping[str, Usage]) -> View:
        used = usage.get(name, Usage())
        observed = replace(observed, cpu=used.cpu, memory=used.memory)
        decision = decide(self._states.get(name, State()), observed, self._settings.pools[name])
        self._states[name] = decision.state
        view = View(observed, decision.actions)
        self._say(name, view)
        return view

    def _say(self, name: str, view: View) -> None:
        note, now = view.note, view.observed.now
        at, kind, capacity = self._said.get(name, (-SAY_EVERY, Kind.HOLD, 0))
        differs = (kind, capacity) != (note.kind, note.capacity)
        demand = view.observed.demand
        rests = note.capacity == 0 and demand is not None and not demand.queued and not demand.running
        if not differs and (rests or now - at < SAY_EVERY):
            return
        self._said[name] = (now, note.kind, note.capacity)
        priority = NOTICE if note.kind in (Kind.SCALE_OUT, Kind.SCALE_IN) else INFO
        say(f"event=decided pool={name} {inputs(view)} reason={note.reason}", priority)

    def _report_without_pool(self, totals: Totals) -> None:
        for queue, count in totals.without_pool.items():
            self._failures.report(
                "no-pool",
                f"no pool takes the queue {queue}: correct the tasks' queue or AIRKILN_POOLS",
                f"queue={queue} queued={count}",
            )

    @staticmethod
    def _alive() -> None:
        notify.send("WATCHDOG=1")


def inputs(view: View) -> str:
    """A decision and its inputs, for the journal."""
    observed, note = view.observed, view.note
    words = [f"decision={note.kind}"]
    if note.kind is not Kind.UNKNOWN:
        words += [f"capacity={note.capacity}", f"wanted={note.wanted}", f"peak={note.peak}"]
    words += [*_of_demand(observed.demand), *_of_group(observed.group)]
    for name, value in (("cpu", observed.cpu), ("memory", observed.memory)):
        words.append(f"{name}={'unknown' if value is None else f'{value:.0f}'}")
    return " ".join(words)


def _of_demand(demand: Demand | None) -> list[str]:
    if demand is None:
        return ["queued=unknown"]
    running = sum(demand.running.values())
    return [f"queued={demand.queued}", f"running={running}", f"oldest={demand.oldest:.0f}"]


def _of_group(group: Group | None) -> list[str]:
    if group is None:
        return ["desired=unknown"]
    serving = sum(each.lifecycle == "InService" for each in group.instances)
    return [f"desired={group.desired}", f"serving={serving}", f"min={group.min}", f"max={group.max}"]
