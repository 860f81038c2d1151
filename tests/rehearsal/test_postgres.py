"""The database server that stands in for RDS."""

from __future__ import annotations

import psycopg
import pytest

from rehearsal.aws.services.rds.postgres import KEY, PORT, Postgres
from rehearsal.linux.addresses import POSTGRES
from rehearsal.linux.network import Network
from rehearsal.region import Region

pytestmark = pytest.mark.root
PASSWORD = 'it\'s a \\ "strange" one $1'


@pytest.fixture(scope="module")
def postgres(region: Region) -> Postgres:
    server = Postgres(region)
    server.start()
    server.create_role("airflow", PASSWORD)
    server.create_database("airflow", "airflow")
    return server


def connect(region: Region, sslmode: str, password: str = PASSWORD) -> psycopg.Connection[tuple[object, ...]]:
    login = f"host={POSTGRES} port={PORT} dbname=airflow user=airflow sslmode={sslmode}"
    with Network(region).visit():
        return psycopg.connect(login, password=password)


def test_it_is_postgresql_17_over_tls(region: Region, postgres: Postgres) -> None:
    with connect(region, "require") as connection:
        assert connection.info.server_version // 10000 == 17
        encrypted = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
    assert encrypted == (True,)
    assert postgres.machine.running()


def test_a_connection_without_tls_is_refused(region: Region, postgres: Postgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        connect(region, "disable")
    assert postgres.machine.running()


def test_a_wrong_password_is_refused(region: Region, postgres: Postgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(region, "require", "wrong")
    assert postgres.machine.running()


def test_roles_and_databases_can_be_asked_for_again(postgres: Postgres) -> None:
    postgres.create_role("airflow", PASSWORD)
    postgres.create_database("airflow", "airflow")
    postgres.create_administrator("root_of_rds", "word")
    assert postgres.sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'root_of_rds'") == "f"


def test_a_snapshot_holds_what_was_committed_at_its_moment_and_no_key(
    region: Region, postgres: Postgres
) -> None:
    """The last one: the server is another one afterwards."""
    postgres.sql("CREATE TABLE kept (number int); INSERT INTO kept VALUES (1)", "airflow")
    key = postgres.machine.execute(["cat", KEY]).stdout
    disk = region.run / "snapshots" / "one"
    disk.parent.mkdir()
    with connect(region, "require") as open_one:
        open_one.execute("CREATE TABLE open_one (number int)")
        postgres.snapshot(disk)
        open_one.rollback()
    postgres.sql("INSERT INTO kept VALUES (2)", "airflow")
    assert not (disk / KEY.removeprefix("/")).exists()

    postgres.remove()
    postgres.start("restored.example", disk)
    assert postgres.sql("SELECT number FROM kept", "airflow") == "1"
    assert postgres.sql("SELECT to_regclass('open_one') IS NULL", "airflow") == "t"
    assert postgres.machine.execute(["cat", KEY]).stdout != key
    with connect(region, "require") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
