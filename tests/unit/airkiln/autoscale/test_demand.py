"""Demand by pool, summed up from what the database counted; and who leads."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from airkiln.autoscale import demand
from airkiln.autoscale.demand import Counted, Database, by_pool
from airkiln.autoscale.model import Demand, Group, Instance
from airkiln.errors import DeniedError, UnavailableError
from airkiln.pools.model import Pool
from tests.unit.airkiln.autoscale.fakes import queued, running

POOLS = {"default": Pool("default", 4, ("default", "quick")), "batch": Pool("batch", 1, ("batch",))}
CELERY = "airkiln_airflow.executor.AirkilnCeleryExecutor"
BOTH = f"CeleryExecutor:{CELERY},airflow.providers.amazon.aws.executors.ecs.ecs_executor.AwsEcsExecutor"


def test_a_pool_has_the_demand_of_all_its_queues() -> None:
    found = by_pool(
        [
            queued(3, oldest=5.0),
            queued(2, "quick", oldest=9.0),
            queued(7, "batch"),
            running(1, "10.0.0.1"),
            running(2, "10.0.0.1", "quick"),
            running(1, "10.0.0.2", "batch"),
        ],
        POOLS,
        CELERY,
    )
    assert found.pools == {
        "default": Demand(5, {"10.0.0.1": 3}, 9.0),
        "batch": Demand(7, {"10.0.0.2": 1}, 1.0),
    }
    assert found.without_pool == {}


def test_a_task_that_was_cleared_while_it_ran_has_its_slot_until_it_ends() -> None:
    found = by_pool([Counted("restarting", "default", None, "10.0.0.1", 1, 0.0)], POOLS, CELERY)
    assert found.pools["default"].running == {"10.0.0.1": 1}


def test_a_queue_that_no_pool_takes_is_named() -> None:
    found = by_pool([queued(3, "gpu"), queued(1, "gpu", executor=CELERY)], POOLS, CELERY)
    assert found.without_pool == {"gpu": 4}


@pytest.mark.parametrize(
    ("configured", "named", "counts"),
    [
        ("", None, True),
        (CELERY, None, True),
        (BOTH, None, True),
        (BOTH, "CeleryExecutor", True),
        (BOTH, "AirkilnCeleryExecutor", True),
        (BOTH, CELERY, True),
        (BOTH, "AwsEcsExecutor", False),
        (BOTH, "airflow.providers.amazon.aws.executors.ecs.ecs_executor.AwsEcsExecutor", False),
        (f"LocalExecutor,fast:{CELERY}", None, False),
        (f"LocalExecutor,fast:{CELERY}", "fast", True),
    ],
)
def test_only_what_celery_runs_needs_a_worker(configured: str, named: str | None, counts: bool) -> None:
    found = by_pool([queued(1, executor=named), running(1, "10.0.0.1", executor=named)], POOLS, configured)
    assert found.pools["default"].queued == counts
    assert bool(found.pools["default"].running) == counts


def test_a_worker_is_busy_whatever_queue_its_task_came_from() -> None:
    found = by_pool([running(2, "10.0.0.1", "gone"), running(1, "10.0.0.9", "batch")], POOLS, CELERY)
    group = Group(0, 5, 1, (Instance("i-1", "10.0.0.1", "InService"), Instance("i-2", None, "Pending")))
    assert found.of("default", group).running == {"10.0.0.1": 2}
    assert found.of("default", None).running == {}


class Session:
    """A connection that answers as told; `statements` is what it was asked."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.statements: list[str] = []
        self.closed = False

    def execute(self, statement: str, values: object, *, prepare: bool) -> Session:
        assert prepare is False
        self.statements.append(statement)
        self._found = next(answer for part, answer in self.answers.items() if part in statement)
        if isinstance(self._found, Exception):
            raise self._found
        return self

    def fetchall(self) -> Any:  # noqa: ANN401 - whatever the test answers
        return self._found

    def close(self) -> None:
        self.closed = True


class Server:
    """Makes sessions, and remembers them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: dict[str, Any] = {}
        self.sessions: list[Session] = []
        self.keywords: dict[str, str] = {}
        monkeypatch.setattr(demand, "connect", self.connect)

    def connect(self, keywords: dict[str, str], *, limit: float) -> Session:
        assert limit == 2.0
        self.keywords = keywords
        self.sessions.append(Session(self.answers))
        return self.sessions[-1]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


def test_the_connection_reads_only_within_five_seconds_and_by_indexes(server: Server) -> None:
    server.answers["task_instance"] = [("queued", "default", None, None, 2, -3.0)]
    database = Database({"host": "db"}, "i-1")
    assert database.count() == [Counted("queued", "default", None, None, 2, 0.0)]
    for setting in ("default_transaction_read_only=on", "statement_timeout=5s", "enable_seqscan=off"):
        assert setting in server.keywords["options"]


@pytest.mark.parametrize(
    ("rows", "leads"),
    [
        ([("i-1/ab12", True)], True),
        ([("i-1/ab12", False)], False),
        ([("i-2/ab12", True)], False),
        ([("i-12/ab12", True)], False),
        ([("", False)], False),
        ([], False),
    ],
)
def test_who_holds_a_lease_that_goes_on_leads(
    server: Server, rows: list[tuple[str, bool]], leads: bool
) -> None:
    server.answers["airkiln.lease"] = rows
    assert Database({}, "i-1").leads() is leads


def test_without_a_controller_who_has_the_lock_leads(server: Server) -> None:
    server.answers |= {"pg_try_advisory_lock": [(True,)], "SELECT 1": [(1,)]}
    database = Database({}, "i-1", locking=True)
    assert [database.leads() for _ in range(3)] == [True] * 3
    assert sum("lock" in statement for statement in server.sessions[0].statements) == 1, "one lock, held"
    server.answers["pg_try_advisory_lock"] = [(False,)]
    assert not Database({}, "i-2", locking=True).leads()


def test_a_lock_ends_with_its_session(server: Server) -> None:
    server.answers |= {"pg_try_advisory_lock": [(True,)], "SELECT 1": psycopg.OperationalError("gone")}
    database = Database({}, "i-1", locking=True)
    assert database.leads()
    with pytest.raises(UnavailableError):
        database.leads()
    server.answers |= {"pg_try_advisory_lock": [(False,)], "SELECT 1": [(1,)]}
    assert not database.leads(), "somebody else took it"
    assert len(server.sessions) == 2


def test_a_session_that_broke_is_replaced(server: Server) -> None:
    server.answers["task_instance"] = psycopg.OperationalError("server closed the connection")
    database = Database({"host": "db"}, "i-1")
    with pytest.raises(UnavailableError):
        database.count()
    assert server.sessions[0].closed
    server.answers["task_instance"] = []
    assert database.count() == []


def test_a_right_that_is_missing_and_a_slow_server_are_told_apart(server: Server) -> None:
    database = Database({"host": "db"}, "i-1")
    server.answers["task_instance"] = psycopg.errors.InsufficientPrivilege("permission denied")
    with pytest.raises(DeniedError, match="lacks a right"):
        database.count()
    server.answers["task_instance"] = psycopg.errors.QueryCanceled("canceling statement")
    with pytest.raises(UnavailableError, match="within 5 s"):
        database.count()
