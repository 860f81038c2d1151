"""The product's policy for a simulated pool. `peers.py` has those of others."""

from __future__ import annotations

from typing import Final, Protocol

from airkiln.autoscale.decision import decide
from airkiln.autoscale.model import Demand, End, Grow, Protect, Seen, State, Unprotect
from airkiln.pools.model import Pool
from airkiln.simulation.queueing import Fleet

CYCLE: Final = 10.0
"""Seconds between two looks of the product."""


class Policy(Protocol):
    """Looks at a pool every few seconds, and changes it."""

    every: float
    """Seconds between two looks."""

    def look(self, fleet: Fleet) -> None:
        """One look, and what comes of it."""


class Airkiln:
    """What `airkiln autoscale run` does, by the same `decide`. CPU and memory are not known here."""

    def __init__(self, pool: Pool, *, every: float = CYCLE) -> None:
        self.every = every
        self._pool = pool
        self._state = State()

    def look(self, fleet: Fleet) -> None:
        """One cycle."""
        demand = Demand(fleet.queued, fleet.busy, fleet.oldest)
        seen = Seen(fleet.now, fleet.now, demand, fleet.group)
        self._state, actions = decide(self._pool, self._state, seen)
        for action in actions:
            if isinstance(action, Grow):
                fleet.grow(action.desired)
            elif isinstance(action, End):
                fleet.end(action.instances)
            elif isinstance(action, Protect | Unprotect):
                fleet.protect(action.instances, protected=isinstance(action, Protect))
