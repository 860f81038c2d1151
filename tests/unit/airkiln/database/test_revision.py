"""Whether a database has the schema of this image's Airflow, and what waits where it has not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from airkiln.database import revision, wait
from airkiln.database.revision import CHECK, Revisions, misfit, of_image
from airkiln.errors import AirkilnError, RefusedError, UnavailableError
from airkiln.failover.config import Timings
from airkiln.failover.lease import LeaseClient, LeaseRow
from airkiln.roles import DATABASE

IMAGE = Revisions(known=frozenset({"a1", "b2", "c3"}), heads=frozenset({"c3"}))
ENVIRONMENT = {DATABASE: "postgresql+psycopg://airflow:secret@db.internal:5432/airflow?sslmode=require"}


class Database:
    """A connection to a database with these revisions, or one that fails."""

    def __init__(self, *revisions: str, fails: psycopg.Error | None = None, mappings: bool = False) -> None:
        self.revisions, self.fails, self.mappings = revisions, fails, mappings

    def execute(self, _: str) -> Database:
        if self.fails is not None:
            raise self.fails
        return self

    def fetchall(self) -> list[Any]:
        return [{"version_num": each} if self.mappings else (each,) for each in self.revisions]


def migrations(folder: Path, **files: str) -> Path:
    versions = folder / "lib/python3.13/site-packages/airflow/migrations/versions"
    versions.mkdir(parents=True)
    (versions / "__init__.py").write_text("")
    for name, text in files.items():
        (versions / f"{name}.py").write_text(f'"""Revision ID."""\n\n{text}\n')
    return folder


def test_the_newest_revision_is_the_one_that_no_other_comes_after(tmp_path: Path) -> None:
    airflow = migrations(
        tmp_path,
        first='revision = "a1"\ndown_revision = None',
        second='revision: str = "b2"\ndown_revision: str | None = "a1"',
        third='revision = "c3"\ndown_revision = ("b2", "a1")\nbranch_labels = None',
    )
    assert of_image({}, airflow) == IMAGE


def test_nothing_is_checked_where_airflow_does_not_or_is_not_there(tmp_path: Path) -> None:
    assert of_image({}, tmp_path) is None
    airflow = migrations(tmp_path, first='revision = "a1"\ndown_revision = None')
    assert of_image({CHECK: "False"}, airflow) is None
    assert of_image({CHECK: "True"}, airflow) is not None
    assert misfit(Database("z9"), None) is None  # type: ignore[arg-type]  # as far as it is used


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (["c3"], None),
        (["b2"], "has revision b2, which is older than this image's Airflow (c3): run the database step"),
        (["z9"], "has revision z9, which this image's Airflow (c3) does not know: a newer release"),
        (["c3", "z9"], "has revision c3 z9, which this image's Airflow (c3) does not know"),
        ([], "is not there: run the database step"),
    ],
    ids=["fits", "older", "newer", "one more", "none"],
)
@pytest.mark.parametrize("mappings", [False, True])
def test_what_does_not_fit_is_said_with_what_to_do(
    found: list[str], said: str | None, mappings: bool
) -> None:
    text = misfit(Database(*found, mappings=mappings), IMAGE)  # type: ignore[arg-type]
    assert text is None if said is None else said in str(text)


@pytest.mark.parametrize(
    ("error", "misfits"),
    [
        (psycopg.errors.UndefinedTable(), True),
        (psycopg.errors.InsufficientPrivilege(), False),
        (psycopg.OperationalError(), False),
    ],
)
def test_what_cannot_be_read_is_left_to_airflows_own_check(error: psycopg.Error, misfits: bool) -> None:
    assert (misfit(Database(fails=error), IMAGE) is not None) is misfits  # type: ignore[arg-type]


def test_a_start_waits_until_the_schema_fits_and_says_why_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    slept: list[float] = []
    databases: Iterator[Database | AirkilnError] = iter(
        [UnavailableError("no answer"), Database("z9"), Database("z9"), Database("z9"), Database("c3")]
    )

    @contextmanager
    def connect(*_: object, **__: object) -> Iterator[Database]:
        found = next(databases)
        if isinstance(found, AirkilnError):
            raise found
        yield found

    monkeypatch.setattr(wait, "connect", connect)
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(revision, "of_image", lambda _: IMAGE)
    wait.wait(ENVIRONMENT)
    said = capfd.readouterr().err
    assert slept == [wait.PAUSE, *3 * [wait.SCHEMA_PAUSE]]
    assert said.count("waiting for the schema") == 1
    assert "does not know: a newer release has migrated the database" in said
    assert "secret" not in said


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> LeaseClient:
    """A controller's client whose database was migrated by a newer release."""
    found = LeaseClient({}, "a", "a/1", Timings(), IMAGE)
    monkeypatch.setattr(found, "_open", lambda: Database("z9"))
    return found


def test_a_scheduler_that_would_end_at_once_is_not_ready(
    client: LeaseClient, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    polled: list[object] = []
    row: dict[str, Any] = dict.fromkeys(LeaseRow.__dataclass_fields__)

    def one(*values: object) -> dict[str, Any]:
        polled.append(values[2])
        return row

    monkeypatch.setattr(client, "_one", one)
    client.poll(True)
    client.poll(True)
    assert polled == [False, False]
    assert capfd.readouterr().err.count("event=schema-misfit") == 1


def test_a_schema_that_fits_is_looked_at_now_and_then_by_polls_and_always_before_an_epoch(
    client: LeaseClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, now = [], [1000.0]
    database = Database("c3")

    def open_connection() -> Database:
        looks.append(now[0])
        return database

    monkeypatch.setattr(client, "_open", open_connection)
    monkeypatch.setattr(client, "_one", lambda *_: dict.fromkeys(LeaseRow.__dataclass_fields__))
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for _ in range(61):
        client.poll(True)
        now[0] += 1
    assert looks == [1000.0, 1030.0, 1060.0]
    database = Database("z9")
    with pytest.raises(RefusedError, match="a newer release has migrated the database"):
        client.acquire()


def test_nor_does_its_host_take_an_epoch(client: LeaseClient) -> None:
    with pytest.raises(RefusedError, match="a newer release has migrated the database"):
        client.acquire()


def test_a_leader_that_runs_is_not_ended_for_it(client: LeaseClient, monkeypatch: pytest.MonkeyPatch) -> None:
    row: dict[str, Any] = dict.fromkeys(LeaseRow.__dataclass_fields__) | {"renewed": True}
    monkeypatch.setattr(client, "_one", lambda *_: row)
    assert client.renew(True, 7)[0]
