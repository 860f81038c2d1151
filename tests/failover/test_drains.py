"""A worker that ends loses no task, whatever ends it: a case a way, under a load, judged by the tasks' marks.

The workers are a group's, beside the cluster's own. The benchmark strikes the same ways a hundred times each.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from rehearsal.aws import fault_client
from rehearsal.chaos.faults import degraded, drains
from rehearsal.chaos.faults.drains import KINDS, Kind
from rehearsal.chaos.observer import Observer
from rehearsal.chaos.scenarios.redelivery import own_worker
from rehearsal.deployment.cluster import Cluster, Host
from rehearsal.deployment.worker_group import Fleet

pytestmark = pytest.mark.root
WORKERS, TASKS = 2, 10
NOTICE = 55.0
"""Seconds; the daemon clears what runs from 45 before the end."""
CLEARED = 35.0
"""Seconds of tasks that are cleared then: longer than they have, and no longer, for they run again."""


@pytest.fixture(scope="module")
def fleet(cluster: Cluster) -> Iterator[Fleet]:
    made = Fleet(cluster.region)
    made.remove()
    made.create(cluster.image, desired=WORKERS)
    try:
        yield made
    finally:
        made.remove()


def short() -> Callable[[], float]:
    """Tasks that end while a worker drains."""
    lengths = itertools.cycle((2.0, 6.0, 12.0, 20.0))
    return lambda: next(lengths)


def not_over_when_cleared() -> Callable[[], float]:
    """At first only tasks that are not over when a Spot notice has them cleared: every worker has some."""
    lengths = itertools.chain([CLEARED] * TASKS, itertools.cycle((2.0, 12.0)))
    return lambda: next(lengths)


def notice(_: Fleet, host: Host) -> None:
    """A Spot notice that is shorter than EC2's, to save the tests a minute twice."""
    fault_client.spot_notice(host.name, NOTICE)


def test_a_worker_that_has_stopped_has_looked_for_logs_that_killed_tasks_left(observer: Observer) -> None:
    worker, unit = own_worker(observer.cluster), "airflow-worker@1.service"
    worker.systemctl("stop", unit)
    try:
        assert "status=0 " in worker.systemctl("show", unit, "--property=ExecStopPost")
    finally:
        worker.systemctl("start", unit)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_worker_that_ends_loses_no_task(observer: Observer, fleet: Fleet, kind: Kind) -> None:
    strike(observer, fleet, replace(kind, strike=notice) if kind.may_rerun else kind)


@pytest.mark.parametrize("kind", degraded.KINDS.values(), ids=degraded.KINDS)
def test_what_goes_astray_while_a_worker_ends_loses_none_either(
    observer: Observer, fleet: Fleet, kind: Kind
) -> None:
    strike(observer, fleet, kind)


def strike(observer: Observer, fleet: Fleet, kind: Kind) -> None:
    """Strike a worker that runs tasks, and judge all that ran."""
    fleet.resize(WORKERS)
    fleet.wait_until_serving(WORKERS, 180)
    draw = not_over_when_cleared() if kind.may_rerun else short()
    with drains.load(observer, tasks=TASKS, draw=draw):
        host = drains.wait_for_load(observer, fleet.serving)
        struck = drains.drain(observer, fleet, kind, host)
    observer.wait_until("every task has ended", observer.idle, 300)
    verdict = drains.verdict(observer, may_rerun=kind.may_rerun)
    assert struck.running, "the worker ran nothing when it was struck: there is nothing to judge"
    assert verdict.problems == []
    if kind.may_rerun:
        assert verdict.reruns, "nothing was cleared: the tasks were too short for this case"
