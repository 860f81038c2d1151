"""The runtime directory, and the login that libpq really reads from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from psycopg import pq

from airkiln.database import controller
from airkiln.failover import runtime
from airkiln.roles import DATABASE

VARIABLES = {
    DATABASE: "postgresql+psycopg://airflow:own@127.0.0.1:1/the-database?sslmode=disable",
    controller.PASSWORD: "p@ss: w'ö\"rd",
}


def read_by_libpq(entry: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What libpq makes of a service file, without waiting for a connection."""
    (folder / "pg_service.conf").write_text(entry, encoding="utf-8")
    monkeypatch.setenv("PGSERVICEFILE", str(folder / "pg_service.conf"))
    connection = pq.PGconn.connect_start(f"service={runtime.SERVICE}".encode())
    return {
        option.keyword.decode(): option.val.decode()
        for option in connection.info
        if option.val is not None and option.keyword in (b"user", b"password", b"dbname", b"host", b"port")
    }


@pytest.mark.parametrize("password", ["simple", "with = and # and 'quotes'", "ümlaut", "-_" * 20])
def test_the_service_file_gives_libpq_the_login_of_the_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    entry = runtime.service_entry(VARIABLES, "airflow_scheduler_7", password)
    assert read_by_libpq(entry, tmp_path, monkeypatch) == {
        "user": "airflow_scheduler_7",
        "password": password,
        "host": "127.0.0.1",
        "port": "1",
        "dbname": "the-database",
    }


def test_the_runtime_directory_is_what_the_units_name() -> None:
    directory = runtime.RuntimeDirectory()
    found = {each.name for each in (directory.gate, directory.service, directory.state, directory.lock)}
    assert str(directory.path) == "/run/airkiln-failover"
    assert found == {"gate", "pg_service.conf", "state.json", "lock"}
