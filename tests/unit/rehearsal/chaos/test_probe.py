"""When the next task instance counts as queued, on a database that is a list."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import cast

import psycopg
import pytest

from rehearsal.chaos.observer import Observer, Row
from rehearsal.chaos.probe import probing
from rehearsal.errors import RehearsalError
from rehearsal.waiting import ignoring, wait_until

OLD, NEW = 1, 2
"""Jobs of schedulers."""


class Database:
    """An observer of a list of task instances. A scheduler with a job queues every run that is started."""

    def __init__(self, job: int | None = None) -> None:
        self.job = job
        self.runs: list[str] = []
        self.queued: dict[tuple[str, int], int] = {}
        """The job that queued a task instance, by run and time of queueing."""
        self.away = 0
        """Queries that fail, beginning with the next."""

    def start(self, dag: str) -> str:
        run = f"{dag} {len(self.runs)}"
        self.runs.append(run)
        if self.job is not None:
            self.queued[run, 0] = self.job
        return run

    def rows(self, _: str, parameters: Collection[object]) -> list[Row]:
        if self.away:
            self.away -= 1
            raise psycopg.OperationalError("away")
        (runs,) = parameters
        return [
            (run, "task", -1, at, job)
            for (run, at), job in list(self.queued.items())
            if run in cast("list[str]", runs)
        ]

    def wait_until(self, what: str, holds: Callable[[], bool], seconds: float) -> float:
        return wait_until(what, ignoring(psycopg.Error, holds), seconds, every=0)


def wait(database: Database, counts: Callable[[int], bool], seconds: float = 1.0) -> float:
    with probing(cast("Observer", database)) as waiting:
        return waiting(seconds, counts)


def by_successor(job: int) -> bool:
    return job > OLD


def test_a_run_of_the_probe_that_the_successor_queues_counts() -> None:
    before = time.monotonic()
    database = Database(NEW)
    assert before <= wait(database, by_successor) <= time.monotonic()
    assert database.runs[0].startswith("failover_probe")


def test_what_the_old_scheduler_queues_does_not_count() -> None:
    with pytest.raises(RehearsalError, match="until a task instance is queued after the fault"):
        wait(Database(OLD), by_successor, 0.2)


def test_what_was_queued_before_does_not_count_although_its_job_would() -> None:
    database = Database()
    database.queued[database.start("failover_workload"), 0] = NEW
    with pytest.raises(RehearsalError, match="queued after the fault"):
        wait(database, by_successor, 0.2)


def test_a_task_instance_of_the_workload_that_is_queued_again_counts() -> None:
    database = Database()
    run = database.start("failover_workload")
    database.queued[run, 0] = OLD

    def queue_again() -> None:
        database.queued[run, 1] = NEW

    timer = threading.Timer(0.1, queue_again)
    timer.start()
    wait(database, by_successor)
    timer.join()


def test_one_that_is_only_adopted_keeps_its_time_and_does_not_count() -> None:
    database = Database()
    run = database.start("failover_workload")
    database.queued[run, 0] = OLD

    def adopt() -> None:
        database.queued[run, 0] = NEW

    timer = threading.Timer(0.05, adopt)
    timer.start()
    with pytest.raises(RehearsalError, match="queued after the fault"):
        wait(database, by_successor, 0.3)
    timer.join()


def test_a_database_that_is_away_is_asked_again() -> None:
    database = Database(NEW)
    database.away = 3
    wait(database, by_successor)


def test_no_further_run_is_started_while_one_is_not_queued() -> None:
    database = Database()
    with pytest.raises(RehearsalError, match="queued after the fault"):
        wait(database, by_successor, 0.3)
    assert len(database.runs) == 1
