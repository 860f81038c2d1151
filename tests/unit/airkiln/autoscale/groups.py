"""Groups, demands and what was decided, for the tests of the decision."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from airkiln.autoscale.decision import decide
from airkiln.autoscale.model import (
    Action,
    Demand,
    Group,
    Instance,
    Note,
    Observation,
    State,
)
from airkiln.pools.model import Pool

CYCLE = 10.0
POOL = Pool("default", slots=4, queues=("default",), cooldown=300, scale_out_step=10)


def worker(
    number: int, lifecycle: str = "InService", *, protected: bool = False, zone: str = "a"
) -> Instance:
    return Instance(f"i-{number:02}", f"10.0.0.{number}", lifecycle, protected, zone)


def workers(count: int) -> tuple[Instance, ...]:
    return tuple(worker(number) for number in range(1, count + 1))


def group(
    instances: Iterable[Instance] = (), desired: int | None = None, least: int = 0, most: int = 20
) -> Group:
    found = tuple(instances)
    return Group(least, most, len(found) if desired is None else desired, found)


def demand(queued: int = 0, **running: int) -> Demand:
    return Demand(queued, {f"10.0.0.{name[1:]}": count for name, count in running.items()})


def of(actions: Iterable[Action], kind: type[Action]) -> list[Action]:
    return [action for action in actions if isinstance(action, kind)]


def note(actions: tuple[Action, ...]) -> Note:
    last = actions[-1]
    assert isinstance(last, Note)
    return last


def step(pool: Pool, state: State, observed: Observation) -> tuple[State, tuple[Action, ...]]:
    """A decision in two parts."""
    decision = decide(state, observed, pool)
    return decision.state, decision.actions


def held(
    observed: Observation, seconds: float, pool: Pool = POOL, state: State | None = None
) -> tuple[State, tuple[Action, ...]]:
    """The same view for so long, cycle by cycle; returns the last step."""
    state, actions = step(pool, state or State(), observed)
    until = observed.now + seconds
    while observed.now < until:
        observed = replace(observed, now=observed.now + CYCLE, wall=observed.wall + CYCLE)
        state, actions = step(pool, state, observed)
    return state, actions
