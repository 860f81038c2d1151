"""The contract of the three pure cores: failover, lifecycle and autoscale.

Each package has a `decision` module with one function, `decide(state, observation, settings)`. It returns the
next state and the actions to carry out, in order. It reads no clock, opens nothing and never waits; what it
needs to know is in the observation. The package's daemon observes, decides and carries out; simulations and
tests call the same function.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

State_co = TypeVar("State_co", covariant=True)
Action_co = TypeVar("Action_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Decision(Generic[State_co, Action_co]):
    """The state to decide from next time, and what to do now."""

    state: State_co
    actions: tuple[Action_co, ...] = ()
