"""The product's policy for a simulated pool. `peers.py` has those of others."""

from __future__ import annotations

from typing import Final, Protocol

from airkiln.autoscale.decision import decide
from airkiln.autoscale.model import Demand, Observation, Protect, ScaleOut, State, Terminate, Unprotect
from airkiln.pools.model import Pool
from airkiln.simulation.queueing import WorkerGroup

CYCLE: Final = 10.0
"""Seconds between two cycles of the product."""


class Policy(Protocol):
    """Observes a pool every few seconds, and changes it."""

    every: float
    """Seconds between two observations."""

    def act(self, workers: WorkerGroup) -> None:
        """Observe once, and act."""


class Airkiln:
    """What `airkiln autoscale run` does, by the same `decide`. CPU and memory are not known here."""

    def __init__(self, pool: Pool, *, every: float = CYCLE) -> None:
        self.every = every
        self._pool = pool
        self._state = State()

    def act(self, workers: WorkerGroup) -> None:
        """One cycle."""
        demand = Demand(workers.queued, workers.busy, workers.oldest)
        observed = Observation(workers.now, workers.now, demand, workers.group)
        decision = decide(self._state, observed, self._pool)
        self._state = decision.state
        for action in decision.actions:
            if isinstance(action, ScaleOut):
                workers.scale_out(action.desired)
            elif isinstance(action, Terminate):
                workers.terminate(action.instances)
            elif isinstance(action, Protect | Unprotect):
                workers.protect(action.instances, protected=isinstance(action, Protect))
