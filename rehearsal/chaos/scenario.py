"""The one form of every experiment: a scenario runs on a bench and returns an outcome."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import psycopg

from rehearsal.chaos.bench import Bench
from rehearsal.errors import RehearsalError

SEED_VARIABLE = "AIRKILN_SEED"
"""Names the seed of random choices, to repeat a run that failed."""


class Need(Enum):
    """What a bench must have for a scenario; the value names it in an error message."""

    CONTROLLERS = "failover controllers"
    NO_CONTROLLERS = "schedulers without failover controllers"
    STANDBY = "a second scheduler host"
    OWN_WORKER = "a worker of the cluster's own"
    NO_OWN_WORKER = "no worker of the cluster's own"
    WORKER_GROUP = "a worker group"

    def met_by(self, bench: Bench) -> bool:
        """Whether the bench has it now. May ask its machines and the emulated AWS."""
        match self:
            case Need.CONTROLLERS:
                return bench.controllers
            case Need.NO_CONTROLLERS:
                return not bench.controllers
            case Need.STANDBY:
                return len(bench.cluster.schedulers) > 1
            case Need.OWN_WORKER:
                return bench.cluster.worker is not None
            case Need.NO_OWN_WORKER:
                return bench.cluster.worker is None
            case Need.WORKER_GROUP:
                return bench.worker_group.exists()


@dataclass
class Outcome:
    """What a scenario led to."""

    began: float
    """When the fault was injected, in seconds since 1970."""
    problems: list[str]
    """What must not have happened; empty when all is well."""
    seconds: float | None = None
    """The scenario's figure, as its description defines it; None if it has none."""
    figures: dict[str, list[float]] = field(default_factory=dict)
    """Further figures, in seconds."""
    tasks: int = 0
    """Task instances that were checked, where the scenario counts them."""
    scenario: str = ""
    seed: int = 0

    def __str__(self) -> str:
        parts = [] if self.seconds is None else [f"{self.seconds:.2f} s"]
        for name, samples in self.figures.items():
            parts.append(f"{name} {', '.join(f'{each:.2f}' for each in samples)} s")
        if self.tasks:
            parts.append(f"{self.tasks} tasks")
        return "; ".join([*parts, *self.problems]) or "no problem"


@dataclass(frozen=True)
class Scenario:
    """One experiment."""

    name: str
    description: str
    """One line. Where the scenario has a figure: from which moment to which."""
    body: Callable[[Bench], Outcome]
    budget: float | None = None
    """Seconds that the figure may take (docs/failover.md, docs/workers.md)."""
    needs: frozenset[Need] = frozenset()
    group: tuple[int, int] | None = None
    """With Need.WORKER_GROUP: the group's workers at first, and at most."""

    def run(self, bench: Bench) -> Outcome:
        """Run once.

        :raises RehearsalError: the bench lacks something, it never became ready, or there was nothing to
            measure. A note of the exception names the seed.
        """
        if lacking := [need.value for need in Need if need in self.needs and not need.met_by(bench)]:
            raise RehearsalError(
                f"The scenario {self.name} needs {', '.join(lacking)}; this cluster has not."
            )
        seed = bench.reseed()
        try:
            outcome = self.body(bench)
        except psycopg.Error as away:
            error = RehearsalError(f"The database failed during the scenario {self.name}: {away}")
            error.add_note(repeat(self.name, seed))
            raise error from away
        except Exception as problem:
            problem.add_note(repeat(self.name, seed))
            raise
        outcome.scenario, outcome.seed = self.name, seed
        return outcome


def require_no_problems(outcome: Outcome) -> None:
    """Raise AssertionError with the problems, and with how to repeat the run, unless there is none."""
    if outcome.problems:
        raise AssertionError("\n".join([*outcome.problems, repeat(outcome.scenario, outcome.seed)]))


def seed_from_environment() -> int | None:
    """The seed that AIRKILN_SEED names, or None."""
    text = os.environ.get(SEED_VARIABLE, "")
    if text and not text.isdecimal():
        raise RehearsalError(f"{SEED_VARIABLE} is {text!r}; it must be a whole number.")
    return int(text) if text else None


def repeat(scenario: str, seed: int) -> str:
    """How to make the same random choices again."""
    return f"To repeat it: {SEED_VARIABLE}={seed} python -m rehearsal scenario run {scenario}"
