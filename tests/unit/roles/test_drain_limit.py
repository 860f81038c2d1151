"""The units' drain limit is the one that a pool has when it gives none."""

from __future__ import annotations

from airkiln.pools.model import Pool
from airkiln.pools.workers import SHUTDOWN_EXTRA
from tests.unit.roles.rendering import render

LIMIT = Pool("default", 1, ("default",)).drain_limit


def test_a_worker_stops_within_the_default_of_a_pool() -> None:
    unit = render("worker_lifecycle", "airflow-worker@.service.d/40-lifecycle.conf")
    assert f"TimeoutStopSec={LIMIT}" in unit.splitlines()


def test_a_shutdown_has_the_extra_time_that_the_boot_gives_it_too() -> None:
    target = render("worker_lifecycle", "shutdown.target.d/20-drain.conf")
    assert f"JobTimeoutSec={LIMIT + SHUTDOWN_EXTRA}" in target.splitlines()
