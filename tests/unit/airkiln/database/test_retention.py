"""Whether old rows are removed from the metadata database, and who logs in for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from airkiln.database import retention
from airkiln.errors import RefusedError
from airkiln.failover.runtime import RuntimeDirectory, service_entry
from airkiln.roles import DATABASE

URL = "postgresql+psycopg://airflow:KANARI%25@db.example:5433/airflow?sslmode=require"
GATED = {DATABASE: URL, retention.GATE: "/run/airkiln-failover/gate"}


def test_without_the_parameter_everything_is_kept() -> None:
    assert retention.days({}) is None
    assert retention.days({retention.DAYS: ""}) is None


def test_the_parameter_is_a_number_of_days() -> None:
    assert retention.days({retention.DAYS: "90"}) == 90


@pytest.mark.parametrize("text", ["0", "-1", "ninety", "3651", "1.5", " "])
def test_anything_else_is_refused_and_removes_nothing(text: str) -> None:
    with pytest.raises(RefusedError, match="whole number from 1 to 3650 days"):
        retention.days({retention.DAYS: text})


def test_a_leader_logs_in_as_its_epoch(tmp_path: Path) -> None:
    directory = RuntimeDirectory(tmp_path)
    directory.service.write_text(service_entry(GATED, "airflow_scheduler_7", "p=w"), encoding="utf-8")
    assert retention.login(GATED, "scheduler", directory.service) == {
        "host": "db.example",
        "port": "5433",
        "dbname": "airflow",
        "user": "airflow_scheduler_7",
        "password": "p=w",
        "require_auth": "scram-sha-256",
        "sslmode": "require",
    }


def test_the_controller_writes_the_file_that_is_read() -> None:
    assert RuntimeDirectory().service == retention.SERVICE_FILE


def test_a_standby_has_nothing_to_do(tmp_path: Path) -> None:
    assert retention.login(GATED, "scheduler", tmp_path / "pg_service.conf") is None


@pytest.mark.parametrize(("variables", "role"), [({DATABASE: URL}, "scheduler"), (GATED, "all")])
def test_without_a_controller_the_owner_logs_in(variables: dict[str, str], role: str, tmp_path: Path) -> None:
    found = retention.login(variables, role, tmp_path / "pg_service.conf")
    assert found is not None
    assert (found["user"], found["password"]) == ("airflow", "KANARI%")
