"""A worker group scales out from zero when tasks wait for a slot."""

from __future__ import annotations

import pytest

from rehearsal.chaos.bench import Bench
from rehearsal.chaos.scenario import require_no_problems
from rehearsal.chaos.scenarios.registry import find

pytestmark = [pytest.mark.root, pytest.mark.image]


def test_from_zero_a_worker_is_launched_for_the_tasks_that_wait(bench: Bench) -> None:
    with bench.with_worker_group(desired=0, maximum=1):
        require_no_problems(find("scale_out_from_zero").run(bench))
