"""What `airkiln database prepare` and `grant` make of a server, with an administrator who is no superuser."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from airkiln.database import prepare as preparing
from airkiln.database.prepare import Plan
from airkiln.database.schema import VERSION
from airkiln.errors import DeniedError, RefusedError
from airkiln.failover.lease import LeaseClient
from airkiln.failover.runtime import SERVICE, service_entry
from rehearsal.aws.services.rds.postgres import RDS_SUPERUSER, Postgres
from rehearsal.linux.addresses import POSTGRES
from tests.database.support import AUTHORITY, URL, VARIABLES, session, take, the_plan

pytestmark = pytest.mark.root


def test_prepared_again_nothing_changes_and_nobody_is_thrown_out(plan: Plan, server: Postgres) -> None:
    state = "SELECT string_agg(rolname || coalesce(rolpassword, ''), ',' ORDER BY rolname) FROM pg_authid"
    before = server.sql(state)
    with session(plan, preparing.CONTROLLER) as controller:
        preparing.prepare(plan)
        preparing.grant(plan)
        assert controller.execute("SELECT count(*) FROM airkiln.lease").fetchone() == (1,)
    assert server.sql(state) == before


def test_five_preparations_at_once_agree(plan: Plan) -> None:
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(preparing.prepare, [plan] * 5))


def test_a_password_that_changed_is_set_and_never_sent_in_clear(plan: Plan, server: Postgres) -> None:
    server.sql("ALTER SYSTEM SET log_statement = 'all'; SELECT pg_reload_conf()")
    changed = the_plan(**{preparing.WORKER_PASSWORD: "another of the worker's"})
    preparing.prepare(changed)
    server.sql("ALTER SYSTEM RESET log_statement; SELECT pg_reload_conf()")
    session(changed, preparing.WORKER).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        session(plan, preparing.WORKER)
    log = server.machine.execute(["sh", "-c", "cat /var/log/postgresql/*.log"]).stdout
    assert 'ALTER ROLE "airflow_worker" PASSWORD' in log
    assert "another of the worker" not in log
    preparing.prepare(plan)


def test_the_administrator_has_no_more_rights_than_rds_gives(server: Postgres) -> None:
    found = server.sql(
        "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls "
        f"FROM pg_roles WHERE rolname = '{preparing.DEFAULT_ADMIN}'"
    )
    assert found == "f|t|t|f|f"


def test_the_rights_on_airflows_tables_wait_for_its_migration(server: Postgres) -> None:
    elsewhere = the_plan(**{"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": URL.replace("/airflow?", "/early?")})
    server.sql(f"COMMENT ON ROLE {preparing.FENCE} IS NULL")
    preparing.prepare(elsewhere)
    with pytest.raises(RefusedError, match="run `airflow db migrate` first"):
        preparing.grant(elsewhere)
    server.sql("DROP DATABASE early WITH (FORCE)")


def test_a_database_that_came_with_the_instance_becomes_airflows(server: Postgres) -> None:
    server.create_database("given", preparing.DEFAULT_ADMIN)
    server.sql(f"COMMENT ON ROLE {preparing.FENCE} IS NULL")
    given = the_plan(**{"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": URL.replace("/airflow?", "/given?")})
    preparing.prepare(given)
    owner = server.sql("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'given'")
    assert owner == "airflow"
    with session(given, preparing.WORKER) as worker:
        worker.execute("SELECT * FROM celery_taskmeta")
    server.sql("DROP DATABASE given WITH (FORCE)")


def test_an_older_release_leaves_a_newer_ones_functions_alone(plan: Plan, server: Postgres) -> None:
    functions = (
        "SELECT string_agg(oid::text, ',' ORDER BY oid) FROM pg_proc "
        "WHERE pronamespace = 'airkiln'::regnamespace"
    )
    before = server.sql(functions, "airflow")
    server.sql(f"UPDATE airkiln.schema_version SET version = {VERSION + 1}", "airflow")
    try:
        with pytest.raises(RefusedError, match=f"has version {VERSION + 1}, made by a newer release"):
            preparing.prepare(plan)
    finally:
        server.sql(f"UPDATE airkiln.schema_version SET version = {VERSION}", "airflow")
    assert server.sql(functions, "airflow") == before


def test_the_administrator_may_pass_on_what_rds_superuser_may_and_nothing_else(server: Postgres) -> None:
    passes_on = f"""
        SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles
         WHERE rolname LIKE 'pg\\_%'
           AND pg_has_role('{preparing.DEFAULT_ADMIN}', oid, 'USAGE WITH ADMIN OPTION')
    """
    assert server.sql(passes_on).split() == sorted(RDS_SUPERUSER)
    assert "pg_read_all_stats" not in RDS_SUPERUSER


def test_the_fence_sees_statistics_and_the_controller_has_the_reserved_connections(
    plan: Plan, server: Postgres
) -> None:
    assert plan
    for role, right in (
        (preparing.FENCE, "pg_read_all_stats"),
        (preparing.FENCE, "pg_signal_backend"),
        (preparing.CONTROLLER, "pg_use_reserved_connections"),
    ):
        assert server.sql(f"SELECT pg_has_role('{role}', '{right}', 'USAGE')") == "t", (role, right)


def test_an_administrator_who_cannot_let_the_fence_see_statistics_is_refused(
    plan: Plan, server: Postgres
) -> None:
    server.sql("REVOKE pg_monitor FROM rds_superuser CASCADE")
    try:
        with pytest.raises(DeniedError, match="pg_monitor WITH ADMIN OPTION"):
            preparing.prepare(plan)
    finally:
        server.sql("GRANT pg_monitor TO rds_superuser WITH ADMIN OPTION")
        preparing.prepare(plan)


def test_a_second_environment_on_the_server_is_refused_and_nothing_of_the_first_changes(
    plan: Plan, server: Postgres
) -> None:
    url = URL.replace("/airflow?", "/second?").replace("own%40er", "another")
    second = the_plan(**{"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url, preparing.WORKER_PASSWORD: "another"})
    with pytest.raises(RefusedError, match="this server has an environment already, in the database airflow"):
        preparing.prepare(second)
    assert "second" not in server.sql("SELECT datname FROM pg_database").split()
    for user in ("airflow", preparing.WORKER):
        session(plan, user).close()


def test_version_1_of_the_schema_becomes_this_one_and_keeps_its_epoch(plan: Plan, server: Postgres) -> None:
    server.sql(
        """
        UPDATE airkiln.schema_version SET version = 1;
        ALTER TABLE airkiln.lease
            DROP COLUMN ttl CASCADE, DROP COLUMN scheduler_connections, DROP COLUMN channel;
        ALTER TABLE airkiln.host DROP COLUMN fresh_for;
        UPDATE airkiln.lease SET epoch = 41;
        """,
        "airflow",
    )
    preparing.prepare(plan)
    assert server.sql("SELECT version FROM airkiln.schema_version", "airflow") == str(VERSION)
    found = server.sql("SELECT epoch, ttl, length(channel) FROM airkiln.lease", "airflow")
    assert found == "41|4|40"


def test_an_option_that_libpq_does_not_know_is_refused_and_not_waited_for(server: Postgres) -> None:
    assert server.machine.running()
    wrong = the_plan(**{"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": URL + "&nonsense=1"})
    with pytest.raises(RefusedError, match="nonsense"):
        preparing.prepare(wrong)


@pytest.mark.parametrize(
    ("of_the_server", "instead"),
    [
        (str(AUTHORITY), "/etc/ssl/certs/ca-certificates.crt"),
        (f"@{POSTGRES}/", "@the-database.example/"),
        (str(AUTHORITY), "/nowhere.pem"),
    ],
    ids=["another authority", "another name", "no authority"],
)
def test_a_server_that_does_not_prove_itself_is_refused(
    plan: Plan, server: Postgres, monkeypatch: pytest.MonkeyPatch, of_the_server: str, instead: str
) -> None:
    assert plan
    assert server.machine.running()
    monkeypatch.setenv("PGHOSTADDR", str(POSTGRES))  # whatever the name of its host in the URL
    url = URL.replace(of_the_server, instead)
    with pytest.raises(RefusedError, match="the server does not prove to be the right one"):
        preparing.prepare(the_plan(**{"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url}))


def test_the_schedulers_service_file_has_the_certificate_verified(
    plan: Plan, client: Callable[[str], LeaseClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert plan
    grant = take(client("one"))
    entry = service_entry(VARIABLES, grant.user, grant.password)
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "pg_service.conf"))
    (tmp_path / "pg_service.conf").write_text(entry)
    psycopg.connect(f"service={SERVICE}").close()
    (tmp_path / "pg_service.conf").write_text(entry.replace(str(AUTHORITY), "system"))
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        psycopg.connect(f"service={SERVICE}")


def test_a_wrong_administrators_password_is_named_as_such(server: Postgres) -> None:
    assert server.machine.running()
    with pytest.raises(DeniedError, match="airkiln_administrator may not log in"):
        preparing.prepare(the_plan(**{preparing.ADMIN_PASSWORD: "wrong"}))


def test_an_administrator_without_rights_is_told_which(plan: Plan, server: Postgres) -> None:
    assert plan
    server.create_role("nobody_special", "word")
    poor = the_plan(**{preparing.ADMIN_USER: "nobody_special", preparing.ADMIN_PASSWORD: "word"})
    with pytest.raises(DeniedError, match="needs CREATEROLE, CREATEDB, pg_signal_backend and pg_monitor"):
        preparing.prepare(poor)


# Who may do what


@pytest.mark.parametrize(
    "statement", ["SELECT * FROM job", "SELECT * FROM connection", "TABLE airkiln.lease"]
)
def test_a_worker_reads_nothing_but_results(plan: Plan, statement: str) -> None:
    with session(plan, preparing.WORKER) as worker:
        worker.execute("SELECT * FROM celery_taskmeta")
        with pytest.raises(errors.InsufficientPrivilege):
            worker.execute(statement)


def test_a_worker_makes_nothing_and_calls_nothing_of_the_failover(plan: Plan) -> None:
    with session(plan, preparing.WORKER) as worker:
        with pytest.raises(errors.InsufficientPrivilege):
            worker.execute("CREATE TABLE mine (id integer)")
        with pytest.raises(errors.InsufficientPrivilege):
            worker.execute("SELECT airkiln.fence('a', 1)")
        with pytest.raises(errors.InsufficientPrivilege):
            worker.execute("ALTER TABLE celery_taskmeta DISABLE TRIGGER ALL")


def test_what_a_worker_writes_as_a_result_is_emptied(plan: Plan) -> None:
    with session(plan, preparing.WORKER) as worker:
        worker.execute(
            "INSERT INTO celery_taskmeta (id, task_id, status, result) "
            "VALUES (nextval('task_id_sequence'), 'one', 'SUCCESS', 'a pickle')"
        )
        worker.execute("UPDATE celery_taskmeta SET result = 'another' WHERE task_id = 'one'")
        found = worker.execute("SELECT status, result FROM celery_taskmeta WHERE task_id = 'one'").fetchall()
    assert found == [("SUCCESS", None)]


def test_a_controller_writes_none_of_airflows_tables(plan: Plan) -> None:
    with session(plan, preparing.CONTROLLER) as controller:
        controller.execute("SELECT * FROM job")
        for statement in (
            "UPDATE job SET state = 'failed'",
            "SELECT * FROM connection",
            "UPDATE airkiln.lease SET epoch = 1",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                controller.execute(statement)


def test_a_controller_cannot_become_a_scheduler_or_the_owner(plan: Plan) -> None:
    with session(plan, preparing.CONTROLLER) as controller:
        for role in ("airflow", preparing.FENCE):
            with pytest.raises(errors.InsufficientPrivilege):
                controller.execute(f"SET ROLE {role}")
