"""What a fault does to a real cluster: one scheduler takes over, no other one writes, and no task is lost.

A case for each mechanism. The benchmark runs the same scenarios many times for its figures; here nothing is
timed.
"""

from __future__ import annotations

import pytest

from rehearsal.chaos.bench import Bench
from rehearsal.chaos.checkers.statements import parse
from rehearsal.chaos.scenario import Scenario, require_no_problems
from rehearsal.chaos.scenarios import clocks, frozen, outages, takeover
from tests.failover.conftest import Checker

pytestmark = [pytest.mark.root, pytest.mark.image]

LEFT_OUT = {outages.DATABASE_AWAY.name, "clock_behind_seconds", "clock_ahead_minutes"}
"""Each has a scenario of the same mechanism here; `python -m rehearsal scenario run` runs these."""
SCENARIOS = [
    scenario
    for scenario in (
        *takeover.SINGLE,
        takeover.KILLED_BEFORE_SENDING,
        *frozen.SCENARIOS,
        *clocks.SCENARIOS,
        *outages.SCENARIOS,
    )
    if scenario.name not in LEFT_OUT
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_after_a_fault_work_continues_and_no_task_is_lost(
    bench: Bench, checker: Checker, scenario: Scenario
) -> None:
    require_no_problems(scenario.run(bench))
    checker.finds_nothing()


def test_the_log_names_the_epoch_of_every_scheduler(checker: Checker) -> None:
    epochs = {entry.epoch for entry in parse(checker.records) if entry.epoch}
    assert len(epochs) > 1
