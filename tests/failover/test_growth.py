"""A group of workers grows from nothing when tasks wait for a slot, and what they asked for runs there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rehearsal import drains, growth
from rehearsal.cluster import Cluster
from rehearsal.fleet import Fleet
from rehearsal.observer import Observer
from rehearsal.trial import make_whole

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
    growth.grow(observer, fleet, tasks=2 * growth.SLOTS, seconds=LASTS)
    observer.wait_until("every task has ended", observer.idle, growth.RUNNING)
    verdict = drains.verdict(observer, may_rerun=False)
    assert verdict.tasks == 2 * growth.SLOTS
    assert verdict.problems == []
