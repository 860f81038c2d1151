"""A task runs once, whatever the broker delivers again, or to whom."""

from __future__ import annotations

import pytest

from rehearsal.chaos.bench import Bench
from rehearsal.chaos.scenario import Scenario, require_no_problems
from rehearsal.chaos.scenarios import redelivery

pytestmark = [pytest.mark.root, pytest.mark.image]


@pytest.mark.parametrize("scenario", redelivery.SCENARIOS, ids=lambda scenario: scenario.name)
def test_each_task_runs_once(bench: Bench, scenario: Scenario) -> None:
    require_no_problems(scenario.run(bench))
