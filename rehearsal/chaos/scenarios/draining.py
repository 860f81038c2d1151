"""A worker of a group ends or changes while it runs tasks: none may be lost, fail or run twice.

Only task instances to which a Spot notice leaves no time may run again.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial

from rehearsal.chaos import workload
from rehearsal.chaos.bench import Bench
from rehearsal.chaos.checkers.tasks import Report, check_drain
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
WORKERS = 2
"""Workers of a group of which one drains."""
SERVING = 300.0
"""Seconds for all workers of a wave to boot and take tasks."""
LOADED = 180.0
"""Seconds until every worker of a wave runs a task at the same time."""
PER_WORKER = 3
"""Task instances under way for each worker of a wave; one runs four at a time."""
LONG = (25.0, 30.0, 35.0, 40.0)
"""Seconds of the first tasks: they last until all workers are loaded, and end while these drain."""
CLEARED = (35.0,)
"""The same before a Spot notice, which has them cleared: longer than it leaves them, but not by much."""
SHORT = (2.0, 6.0, 12.0)
"""Seconds of the tasks after that. The fewer workers are left, the longer a task waits for one."""


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


@dataclass
class Wave:
    """What became of several workers that drained at once, and of all tasks meanwhile."""

    began: float
    """When the faults were injected, in seconds since 1970."""
    drained: dict[str, Future[Drained]]
    """By the fault's name."""
    report: Report

    def result(self, fault: WorkerFault) -> Drained:
        """How one of the workers drained. RehearsalError if it did not, or if there was nothing to lose."""
        drained = self.drained[fault.name].result()
        if not drained.running:
            raise RehearsalError(f"{drained.host} ran no task when {fault.name} was injected.")
        if fault.may_rerun and not self.report.reruns:
            raise RehearsalError(f"{fault.name} had no task cleared: they were too short.")
        return drained


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


def drain_together(bench: Bench, faults: Sequence[WorkerFault], *, workers: int = 0) -> Wave:
    """Inject several faults at once under one workload, each into a worker of its own, and check all tasks.

    A drain is mostly waiting, so that a wave takes little longer than its longest drain.

    :param workers: how many the group must have at least, if more than there are faults.
    """
    observer, group, count = bench.observer, bench.worker_group, len(faults)
    workers = max(workers, count)
    if group.desired() < workers:
        group.resize(workers)
    group.wait_until_serving(workers, SERVING)
    may_rerun = any(fault.may_rerun for fault in faults)
    tasks = PER_WORKER * (workers + 1)  # the cluster's own worker takes some
    first = itertools.islice(itertools.cycle(CLEARED if may_rerun else LONG), 2 * tasks)
    lengths = itertools.chain(first, itertools.cycle(SHORT))
    with (
        workload.sustained(observer, tasks=tasks, draw=lambda: next(lengths)),
        ThreadPoolExecutor(count) as threads,
    ):
        hosts = busiest(observer, group.serving, count)
        began = time.time()
        drained = {
            fault.name: threads.submit(_drain_alone, bench, fault, host)
            for fault, host in zip(faults, hosts, strict=True)
        }
        wait(drained.values())
    observer.wait_until_idle(workload.LONGEST)
    return Wave(began, drained, check_drain(observer, may_rerun=may_rerun))


def busiest(observer: Observer, hosts: Callable[[], list[Host]], count: int = 1) -> list[Host]:
    """Wait until so many of the hosts run tasks at the same time, and return those that run the most."""
    running: dict[Host, int] = {}

    def loaded() -> bool:
        running.clear()
        running.update((host, observer.running_on(host)) for host in hosts())
        return sum(map(bool, running.values())) >= count

    observer.wait_until(f"{count} of the workers run tasks", loaded, LOADED)
    return sorted(running, key=lambda host: -running[host])[:count]


def _drain_alone(bench: Bench, fault: WorkerFault, host: Host) -> Drained:
    own = Observer(bench.cluster)  # a connection serves one thread at a time
    try:
        return drain(own, bench.worker_group, fault, host)
    finally:
        own.close()


def _drain_one(bench: Bench, fault: WorkerFault) -> Outcome:
    wave = drain_together(bench, [fault], workers=WORKERS)
    drained = wave.result(fault)
    figures = {"rerun": wave.report.reruns} if wave.report.reruns else {}
    return Outcome(wave.began, wave.report.problems, drained.seconds, figures, wave.report.tasks)


_DESCRIPTIONS = {
    "scale_in": "Auto Scaling terminates a worker, with its lifecycle hook.",
    "spot_notice": "A Spot notice of two minutes, after which the instance is gone.",
    "systemctl_stop": "The worker's unit is stopped, and started again.",
    "reload": "A parameter changes, and another generation of the worker starts beside the one that drains.",
    "host_shutdown": "`systemctl poweroff` on a worker.",
    "metadata_away": "A scale-in while the metadata service is away.",
    "live_migration": "A scale-in; while it drains, metadata lose the lifecycle state, as when EC2 moves it.",
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
