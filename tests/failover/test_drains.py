"""A worker that ends loses no task: a case for each way, checked by the marks that tasks write.

The workers are a group's, beside the cluster's own. Faults that do not disturb each other are injected at
once. The benchmark injects each of them a hundred times, one kind after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from rehearsal.chaos.bench import Bench
from rehearsal.chaos.faults.workers import SHORT_SPOT_NOTICE
from rehearsal.chaos.scenarios import draining
from rehearsal.chaos.scenarios.draining import Wave, drain_together

pytestmark = [pytest.mark.root, pytest.mark.image]

FAULTS = draining.FAULTS | {"spot_notice": SHORT_SPOT_NOTICE}
"""The Spot notice is the short one here, which saves a minute."""
APART = {
    # A Spot notice needs long tasks. The hook is the group's, so that no other drain may need it.
    "spot_notice": "second",
    "without_hook": "second",
    # Calls are throttled for everybody.
    "throttled": "third",
}
WAVE_OF = {name: APART.get(name, "first") for name in FAULTS}
CASES = sorted(FAULTS, key=lambda name: ("first", "second", "third").index(WAVE_OF[name]))
LARGEST = max(map([*WAVE_OF.values()].count, WAVE_OF.values()))


@pytest.fixture(scope="module")
def _worker_group(bench: Bench) -> Iterator[None]:
    with bench.with_worker_group(desired=0, maximum=LARGEST):
        yield


@pytest.fixture(scope="module")
def waves(request: pytest.FixtureRequest, bench: Bench, _worker_group: None) -> Callable[[str], Wave]:
    """Run the wave with a name, once, with those faults that are to be tested."""
    asked = {
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path and hasattr(item, "callspec")
    }
    ended: dict[str, Future[Wave]] = {}

    def run(wave: str) -> Wave:
        if wave not in ended:
            ended[wave] = Future()
            bench.observer.runs.clear()
            faults = [FAULTS[name] for name in CASES if name in asked and WAVE_OF[name] == wave]
            try:
                ended[wave].set_result(drain_together(bench, faults))
            except Exception as error:
                ended[wave].set_exception(error)
        return ended[wave].result()

    return run


@pytest.mark.parametrize("name", CASES)
def test_a_worker_that_ends_loses_no_task(waves: Callable[[str], Wave], name: str) -> None:
    wave = waves(WAVE_OF[name])
    wave.result(FAULTS[name])
    assert wave.report.problems == []


def test_a_worker_that_has_stopped_has_looked_for_logs_that_killed_tasks_left(bench: Bench) -> None:
    worker, unit = bench.cluster.own_worker, "airflow-worker@1.service"
    worker.systemctl("stop", unit)
    try:
        assert "status=0 " in worker.systemctl("show", unit, "--property=ExecStopPost")
    finally:
        worker.systemctl("start", unit)
