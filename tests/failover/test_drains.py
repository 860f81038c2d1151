"""A worker that ends loses no task, whatever ends it: a case for each way, under a workload.

The workers are a group's, beside the cluster's own. The benchmark injects each fault a hundred times.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rehearsal.chaos.bench import Bench
from rehearsal.chaos.scenario import Scenario, require_no_problems
from rehearsal.chaos.scenarios import draining

pytestmark = pytest.mark.root

SCENARIOS = [scenario for scenario in draining.SCENARIOS if scenario.name != "spot_notice"]
"""The Spot notice is the short one here, which saves a minute."""


@pytest.fixture(scope="module")
def _worker_group(bench: Bench) -> Iterator[None]:
    with bench.with_worker_group(desired=draining.WORKERS, maximum=draining.WORKERS):
        yield


def test_a_worker_that_has_stopped_has_looked_for_logs_that_killed_tasks_left(bench: Bench) -> None:
    worker, unit = bench.cluster.own_worker, "airflow-worker@1.service"
    worker.systemctl("stop", unit)
    try:
        assert "status=0 " in worker.systemctl("show", unit, "--property=ExecStopPost")
    finally:
        worker.systemctl("start", unit)


@pytest.mark.usefixtures("_worker_group")
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_worker_that_ends_loses_no_task(bench: Bench, scenario: Scenario) -> None:
    require_no_problems(scenario.run(bench))
