"""Where this host keeps what, who it is, and the login that libpq really reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from psycopg import pq

from airkiln.errors import NotReadyError, RefusedError
from airkiln.failover import runtime as place
from airkiln.host.layout import Layout
from airkiln.roles import DATABASE

VARIABLES = {
    DATABASE: "postgresql+psycopg://airflow:own@127.0.0.1:1/the%20database?sslmode=disable",
    place.PASSWORD: "p@ss: w'ö\"rd",
}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = Layout(tmp_path)
    found.run_env.parent.mkdir(parents=True)
    return found


def read_by_libpq(entry: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What libpq makes of a service file, without waiting for a connection."""
    (folder / "pg_service.conf").write_text(entry, encoding="utf-8")
    monkeypatch.setenv("PGSERVICEFILE", str(folder / "pg_service.conf"))
    connection = pq.PGconn.connect_start(f"service={place.SERVICE}".encode())
    return {
        option.keyword.decode(): option.val.decode()
        for option in connection.info
        if option.val is not None and option.keyword in (b"user", b"password", b"dbname", b"host", b"port")
    }


@pytest.mark.parametrize("password", ["simple", "with = and # and 'quotes'", "ümlaut", "-_" * 20])
def test_the_service_file_gives_libpq_the_login_of_the_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    entry = place.service_entry(VARIABLES, "airflow_scheduler_7", password)
    assert read_by_libpq(entry, tmp_path, monkeypatch) == {
        "user": "airflow_scheduler_7",
        "password": password,
        "host": "127.0.0.1",
        "port": "1",
        "dbname": "the database",
    }


def test_the_controllers_login_is_airflows_server_with_its_own_user() -> None:
    assert place.keywords(VARIABLES) == {
        "host": "127.0.0.1",
        "port": "1",
        "dbname": "the database",
        "sslmode": "disable",
        "user": "airkiln_controller",
        "password": VARIABLES[place.PASSWORD],
    }


def test_what_is_missing_is_named_all_at_once() -> None:
    with pytest.raises(RefusedError) as refused:
        place.keywords({place.PASSWORD: ""})
    assert [problem.partition(":")[0] for problem in refused.value.problems] == [DATABASE, place.PASSWORD]


def test_a_host_is_named_after_its_instance(layout: Layout) -> None:
    layout.instance_json.write_text(json.dumps({"instance_id": "i-0aa1", "environment": "prod"}))
    assert place.identity(layout) == ("i-0aa1", "prod")


@pytest.mark.parametrize("known", [None, "{", '{"instance_id": null, "environment": null}'])
def test_without_an_instance_it_has_its_host_name(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, known: str | None
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "scheduler-1")
    if known is not None:
        layout.instance_json.write_text(known)
    assert place.identity(layout) == ("scheduler-1", "")


def test_a_person_has_the_variables_from_the_boot_paths_files(layout: Layout) -> None:
    layout.run_env.write_text(f'{DATABASE}="postgresql://a@b/c"\n')
    layout.run_env.with_name("admin.env").write_text(f'{place.PASSWORD}="sesame"\n')
    found = place.environment(layout)
    assert (found[DATABASE], found[place.PASSWORD]) == ("postgresql://a@b/c", "sesame")


def test_a_unit_has_them_already(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(place.PASSWORD, "of the unit")
    assert place.environment(layout)[place.PASSWORD] == "of the unit"


def test_before_the_boot_path_they_are_not_there_yet(layout: Layout) -> None:
    with pytest.raises(NotReadyError, match=r"airflow\.env: not there yet"):
        place.environment(layout)


def test_the_runtime_directory_is_what_the_units_name() -> None:
    folder = place.Folder()
    found = {folder.gate.name, folder.service.name, folder.state.name, folder.lock.name}
    assert str(folder.path) == "/run/airkiln-failover"
    assert found == {"gate", "pg_service.conf", "state.json", "lock"}
