"""A host that stands still while another one takes over, and then continues."""

from __future__ import annotations

import os
import signal
import time
from functools import partial

from rehearsal.chaos import workload
from rehearsal.chaos.bench import Bench
from rehearsal.chaos.checkers.tasks import check_takeover
from rehearsal.chaos.faults.database import freeze_in_login, half_open_logins
from rehearsal.chaos.faults.network import frozen, thaw
from rehearsal.chaos.faults.schedulers import freeze_host
from rehearsal.chaos.instrumentation import StatementLog
from rehearsal.chaos.observer import Observer
from rehearsal.chaos.probe import probing
from rehearsal.chaos.readiness import wait_until_ready
from rehearsal.chaos.scenario import Need, Outcome, Scenario
from rehearsal.chaos.scenarios.takeover import FINISHED, PATIENCE, take_over
from rehearsal.deployment.host import SCHEDULER_UNIT
from rehearsal.errors import RehearsalError


def _across_two_takeovers(bench: Bench) -> Outcome:
    observer, began = bench.observer, time.time()
    wait_until_ready(observer)
    first = observer.leader()
    workload.start(observer)
    with frozen(first.host):
        wait_for_next(observer, first.job)
        second = observer.leader()
        os.kill(second.host.main_process(SCHEDULER_UNIT), signal.SIGKILL)
        wait_for_next(observer, second.job)
    return Outcome(began, check_when_idle(observer))


def _in_login(bench: Bench) -> Outcome:
    observer, began = bench.observer, time.time()
    wait_until_ready(observer)
    leader = observer.leader()
    workload.start(observer)
    log = StatementLog(observer.cluster.postgres)
    freeze_in_login(observer.cluster.postgres, leader.host)
    at = time.time()
    try:
        wait_for_next(observer, leader.job)
    finally:
        thaw(leader.host)
    problems = check_when_idle(observer)
    if not half_open_logins(log.new(), leader.host.address, at):
        raise RehearsalError(f"No login of {leader.host.name} was half open when it was frozen.")
    return Outcome(began, problems)


def wait_for_next(observer: Observer, job: int) -> None:
    """Wait until a scheduler that is newer than this job queues a task instance."""
    with probing(observer) as wait:
        wait(PATIENCE, lambda other: other > job)


def check_when_idle(observer: Observer) -> list[str]:
    """Wait until every task has ended, and check them as after a takeover that is over now."""
    takeover = time.time()
    observer.wait_until_idle(FINISHED)
    return check_takeover(observer, takeover)


_NEEDS = frozenset({Need.CONTROLLERS, Need.STANDBY, Need.OWN_WORKER})
SCENARIOS = (
    Scenario(
        "frozen",
        "The leader's host is frozen until another one has taken over, and continues then.",
        partial(take_over, inject=freeze_host),
        6.0,
        _NEEDS,
    ),
    Scenario(
        "frozen_across_two",
        "The leader's host is frozen while its successor takes over and is succeeded itself.",
        _across_two_takeovers,
        needs=_NEEDS,
    ),
    Scenario(
        "frozen_in_login",
        "The leader's sessions end, and its host is frozen while it logs in again.",
        _in_login,
        needs=_NEEDS,
    ),
)
