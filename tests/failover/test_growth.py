"""A group of workers grows from nothing when tasks wait for a slot, and what they asked for runs there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rehearsal.chaos.faults import drains
from rehearsal.chaos.observer import Observer
from rehearsal.chaos.scenarios import scaling
from rehearsal.chaos.scenarios.takeover import make_whole
from rehearsal.deployment.cluster import Cluster
from rehearsal.deployment.worker_group import Fleet

pytestmark = pytest.mark.root
LASTS = 50.0
"""Seconds: the cluster's own worker is full until the group's one serves."""


@pytest.fixture
def fleet(cluster: Cluster) -> Iterator[Fleet]:
    """A group that has no worker yet, and may have one."""
    made = Fleet(cluster.region)
    made.remove()
    made.create(cluster.image, desired=0, maximum=1)
    yield made
    made.remove()


def test_from_zero_a_worker_comes_for_the_tasks_that_wait(observer: Observer, fleet: Fleet) -> None:
    make_whole(observer)
    scaling.grow(observer, fleet, tasks=2 * scaling.SLOTS, seconds=LASTS)
    observer.wait_until("every task has ended", observer.idle, scaling.RUNNING)
    verdict = drains.verdict(observer, may_rerun=False)
    assert verdict.tasks == 2 * scaling.SLOTS
    assert verdict.problems == []
