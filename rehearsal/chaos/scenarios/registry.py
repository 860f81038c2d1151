"""Every scenario by name, for tests, benchmarks and `python -m rehearsal scenario`."""

from __future__ import annotations

from rehearsal.chaos.scenario import Scenario
from rehearsal.chaos.scenarios import (
    clocks,
    draining,
    frozen,
    limits,
    outages,
    redelivery,
    scaling,
    takeover,
)
from rehearsal.errors import RehearsalError

TOPICS: dict[str, tuple[Scenario, ...]] = {
    "takeover": takeover.SCENARIOS,
    "frozen": frozen.SCENARIOS,
    "limits": limits.SCENARIOS,
    "clocks": clocks.SCENARIOS,
    "outages": outages.SCENARIOS,
    "redelivery": redelivery.SCENARIOS,
    "draining": draining.SCENARIOS,
    "scaling": scaling.SCENARIOS,
}
SCENARIOS = {scenario.name: scenario for topic in TOPICS.values() for scenario in topic}


def find(name: str) -> Scenario:
    """The scenario with this name. RehearsalError if there is none."""
    if name not in SCENARIOS:
        raise RehearsalError(
            f"No scenario is named {name!r}; `python -m rehearsal scenario list` lists them."
        )
    return SCENARIOS[name]
