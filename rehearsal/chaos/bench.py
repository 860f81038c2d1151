"""The bench: an instrumented cluster, its observer, and the random choices of what is run on it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from rehearsal.chaos.instrumentation import Instrumentation
from rehearsal.chaos.observer import Observer
from rehearsal.deployment.cluster import Cluster, Layout
from rehearsal.deployment.worker_group import WorkerGroup
from rehearsal.region import Region


def boot_instrumented(region: Region, image: str, layout: Layout | None = None) -> Cluster:
    """Boot a cluster with the instrumentation of experiments."""
    return Cluster.boot(region, image, layout, Instrumentation())


class Bench:
    """What scenarios run on. The caller must be in the region's network."""

    def __init__(self, cluster: Cluster, observer: Observer | None = None, seed: int | None = None) -> None:
        """:param cluster: one that `boot_instrumented` has booted.

        :param seed: of the first scenario's random choices; without one it is drawn.
        """
        self.cluster = cluster
        self.observer = observer or Observer(cluster)
        self.random = random.Random()  # noqa: S311 - nothing secret is drawn
        """Every random choice of a scenario comes from here."""
        self._next = random.SystemRandom().randrange(2**32) if seed is None else seed
        self._seeds = random.Random(self._next)  # noqa: S311 - as above

    @cached_property
    def controllers(self) -> bool:
        """Whether failover controllers run."""
        return self.cluster.controllers

    @property
    def worker_group(self) -> WorkerGroup:
        """The group of the pool `default`, which need not exist."""
        return WorkerGroup(self.cluster.region)

    @contextmanager
    def with_worker_group(self, desired: int, maximum: int) -> Iterator[WorkerGroup]:
        """A new worker group for the time of the block, in place of one that exists."""
        group = self.worker_group
        group.remove()
        group.create(self.cluster.image, desired=desired, maximum=maximum)
        try:
            yield group
        finally:
            group.remove()

    def reseed(self) -> int:
        """Begin the random choices of the next scenario; returns their seed.

        The first scenario has the bench's own seed, so that one that failed can be repeated by itself.
        """
        seed, self._next = self._next, self._seeds.randrange(2**32)
        self.random.seed(seed)
        return seed

    def close(self) -> None:
        """Close the observer's connection."""
        self.observer.close()
