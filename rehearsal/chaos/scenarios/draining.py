"""A worker of a group ends or changes while it runs tasks: none may be lost, fail or run twice.

Only task instances to which a Spot notice leaves no time may run again.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from rehearsal.chaos import workload
from rehearsal.chaos.bench import Bench
from rehearsal.chaos.checkers.tasks import check_drain
from rehearsal.chaos.faults import degraded, workers
from rehearsal.chaos.faults.workers import RELOAD, SHORT_SPOT_NOTICE, WorkerFault, newest_generation
from rehearsal.chaos.observer import Observer
from rehearsal.chaos.scenario import Need, Outcome, Scenario
from rehearsal.deployment.host import LIFECYCLE_UNIT, Host
from rehearsal.deployment.worker_group import POLL, WorkerGroup
from rehearsal.errors import RehearsalError
from rehearsal.waiting import wait_until

FAULTS = {fault.name: fault for fault in (*workers.FAULTS, *degraded.FAULTS)}
"""By name, in the order of a campaign."""
PATIENCE = workload.LONGEST + 120
"""Seconds for a drain to end, whatever runs."""
WORKERS, TASKS = 2, 10
"""Of a scenario: workers of the group, and task instances under way."""
CLEARED = 35.0
"""Seconds of tasks that a Spot notice has cleared: longer than the notice leaves them, but not by much."""


@dataclass
class Drained:
    """One drain."""

    kind: str
    """The fault's name."""
    host: str
    running: int
    """Task instances that ran on the host when the fault was injected."""
    seconds: float
    """From the fault until nothing of the worker was left; of a reload: of its older generation."""


def drain(observer: Observer, group: WorkerGroup, fault: WorkerFault, host: Host) -> Drained:
    """Inject a fault into a worker's host and wait until the worker has ended.

    :raises RehearsalError: it did not end, or its daemon did not log what the fault requires.
    """
    running = observer.running_on(host)
    at = time.monotonic()
    fault.inject(group, host)
    if fault is RELOAD:
        wait_until(
            f"{host.name} starts another generation", lambda: newest_generation(host) > 1, 60, every=POLL
        )
    logged = ""

    def over() -> bool:
        nonlocal logged
        if fault.says not in logged:
            logged = host.journal(f"--unit={LIFECYCLE_UNIT}", lines=50)
        return fault.over(group, host)

    try:
        every = 0.1 if fault.says else POLL  # the last lines of the journal are gone with the host
        took = wait_until(f"{fault.name} of {host.name} is over", over, PATIENCE, every=every) - at
    finally:
        fault.restore(group, host)
    if fault.says not in logged:
        raise RehearsalError(f"{host.name} has not logged {fault.says!r} while it drained, but:\n{logged}")
    return Drained(fault.name, host.name, running, round(took, 3))


def busiest(observer: Observer, hosts: Callable[[], list[Host]]) -> Host:
    """Wait until one of the hosts runs tasks, and return the one that runs the most."""
    running: dict[Host, int] = {}

    def loaded() -> bool:
        running.clear()
        running.update((host, observer.running_on(host)) for host in hosts())
        return any(running.values())

    observer.wait_until("a worker runs tasks", loaded, 120)
    return max(running, key=lambda host: running[host])


def lengths(*, may_rerun: bool) -> Callable[[], float]:
    """Returns the seconds of the next task: tasks that end while a worker drains.

    :param may_rerun: begin with tasks that have not ended when a Spot notice has them cleared.
    """
    drawn: Iterator[float] = itertools.cycle((2.0, 6.0, 12.0, 20.0))
    if may_rerun:
        drawn = itertools.chain([CLEARED] * TASKS, itertools.cycle((2.0, 12.0)))
    return lambda: next(drawn)


def _drain_one(bench: Bench, fault: WorkerFault) -> Outcome:
    observer, group = bench.observer, bench.worker_group
    group.resize(WORKERS)
    group.wait_until_serving(WORKERS, 180)
    with workload.sustained(observer, tasks=TASKS, draw=lengths(may_rerun=fault.may_rerun)):
        host = busiest(observer, group.serving)
        began = time.time()
        drained = drain(observer, group, fault, host)
    observer.wait_until_idle(workload.LONGEST)
    report = check_drain(observer, may_rerun=fault.may_rerun)
    if not drained.running:
        raise RehearsalError(f"{host.name} ran nothing when {fault.name} was injected.")
    if fault.may_rerun and not report.reruns:
        raise RehearsalError(f"No task was cleared by {fault.name}: the tasks were too short.")
    figures = {"rerun": report.reruns} if report.reruns else {}
    return Outcome(began, report.problems, drained.seconds, figures, report.tasks)


_DESCRIPTIONS = {
    "scale_in": "Auto Scaling terminates a worker, with its lifecycle hook.",
    "spot_notice": "A Spot notice of two minutes, after which the instance is gone.",
    "systemctl_stop": "The worker's unit is stopped, and started again.",
    "reload": "A parameter changes, and another generation of the worker starts beside the one that drains.",
    "host_shutdown": "`systemctl poweroff` on a worker.",
    "metadata_away": "A scale-in while the metadata service is away.",
    "throttled": "A scale-in while Auto Scaling throttles CompleteLifecycleAction.",
    "without_hook": "A scale-in of a group without the hook.",
    "clock_jumps": "A scale-in while the worker's clock jumps by an hour.",
    "short_spot_notice": "A Spot notice of 55 s.",
}
SCENARIOS = tuple(
    Scenario(
        fault.name,
        _DESCRIPTIONS[fault.name],
        partial(_drain_one, fault=fault),
        needs=frozenset({Need.WORKER_GROUP}),
        group=(WORKERS, WORKERS),
    )
    for fault in (*FAULTS.values(), SHORT_SPOT_NOTICE)
)
