"""A leader whose wall clock is wrong."""

from __future__ import annotations

import os
import signal
import time
from functools import partial

from rehearsal.chaos.bench import Bench
from rehearsal.chaos.faults.clocks import skewed
from rehearsal.chaos.faults.schedulers import kill
from rehearsal.chaos.readiness import wait_until_ready
from rehearsal.chaos.scenario import Need, Outcome, Scenario
from rehearsal.chaos.scenarios.takeover import PATIENCE, take_over
from rehearsal.deployment.host import SCHEDULER_UNIT

SECONDS, MINUTES = 8.0, 300.0
"""How wrong a clock is, in seconds. From 10 s on Airflow itself refuses the tokens of running tasks."""


def _wrong_by_seconds(bench: Bench, ahead: float) -> Outcome:
    inject = kill(SCHEDULER_UNIT, signal.SIGKILL)
    with skewed(bench.observer.leader().host, ahead):
        away, back = take_over(bench, inject), take_over(bench, inject)
    return Outcome(away.began, [*away.problems, *back.problems])


def _wrong_by_minutes(bench: Bench, ahead: float) -> Outcome:
    observer, began = bench.observer, time.time()
    wait_until_ready(observer)
    problems = []
    with skewed(observer.leader().host, ahead):
        for _ in range(2):
            wait_until_ready(observer)
            before = observer.leader()
            os.kill(before.host.main_process(SCHEDULER_UNIT), signal.SIGKILL)
            observer.wait_until(
                "another scheduler leads", partial(observer.leads_after, before.job), PATIENCE
            )
            if (leader := observer.leader()).host == before.host:
                problems.append(f"{leader.host.name} leads again, and the standby does not")
    wait_until_ready(observer)
    return Outcome(began, problems)


_NEEDS = frozenset({Need.CONTROLLERS, Need.STANDBY, Need.OWN_WORKER})
SCENARIOS = tuple(
    Scenario(f"clock_{direction}_{unit}", description, partial(body, ahead=sign * size), needs=_NEEDS)
    for unit, body, size, description in (
        ("seconds", _wrong_by_seconds, SECONDS, "The leader's clock is wrong by 8 s; two takeovers."),
        ("minutes", _wrong_by_minutes, MINUTES, "The leader's clock is wrong by 5 min while no task runs."),
    )
    for direction, sign in (("ahead", 1), ("behind", -1))
)
