"""The cluster that the tests run scenarios on, and the checker of PostgreSQL's log over all of them."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from rehearsal.aws import session
from rehearsal.chaos.bench import Bench, boot_instrumented
from rehearsal.chaos.checkers.statements import check, parse
from rehearsal.chaos.instrumentation import StatementLog
from rehearsal.chaos.observer import Observer
from rehearsal.chaos.scenario import seed_from_environment
from rehearsal.deployment.cluster import Cluster
from rehearsal.deployment.image import baked_image
from rehearsal.errors import RehearsalError
from rehearsal.linux.network import Network
from rehearsal.progress import Stages
from rehearsal.region import Region
from tests.support.regions import BAKED

NAMED = os.environ.get("AIRKILN_REHEARSAL")
"""A rehearsal that somebody has named, whose cluster is then used and kept. Read before a fixture sets it."""
CLUSTER = pytest.StashKey[Cluster]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """After a failure, show what our units said on the cluster's hosts."""
    report = yield
    cluster = item.config.stash.get(CLUSTER, None)
    if report.failed and cluster is not None:
        with suppress(RehearsalError):
            report.sections.append(("journals of the cluster", cluster.journals()))
    return report


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """PostgreSQL, a web server, a worker and two scheduler hosts, all from this tree's image."""
    region = Region(NAMED) if NAMED else BAKED
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRKILN_REHEARSAL", region.name)
        if not NAMED:
            session.down(region)
        try:
            session.start(region)
            with Network(region).visit():
                found = Cluster.find(region) if NAMED else None
                found = found or boot_instrumented(region, baked_image(region, Stages(1)))
                pytestconfig.stash[CLUSTER] = found
                yield found
        finally:
            if not NAMED:
                session.down(region)


@pytest.fixture(scope="session")
def observer(cluster: Cluster) -> Iterator[Observer]:
    watching = Observer(cluster)
    yield watching
    watching.close()


@pytest.fixture(scope="session")
def bench(cluster: Cluster, observer: Observer) -> Bench:
    """Where scenarios run. AIRKILN_SEED repeats the random choices of one that failed."""
    return Bench(cluster, observer, seed_from_environment())


@pytest.fixture(autouse=True)
def _judge_own_runs(request: pytest.FixtureRequest) -> None:
    """What an earlier test that failed has left is not this one's."""
    if "observer" in request.fixturenames:
        request.getfixturevalue("observer").runs.clear()


@dataclass
class Checker:
    """Checks everything that PostgreSQL logged since the first test."""

    log: StatementLog
    records: list[dict[str, Any]] = field(default_factory=list)

    def finds_nothing(self) -> None:
        self.records += self.log.new()
        report = check(parse(self.records))
        assert report.writes, "the log has no write of any scheduler: there is nothing to check"
        assert [str(found) for found in report.findings] == []


@pytest.fixture(scope="session")
def checker(cluster: Cluster) -> Checker:
    return Checker(StatementLog(cluster.postgres))
