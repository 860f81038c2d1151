"""`airkiln database clean`: removes what is older than a number of days from the metadata database.

Airflow and Celery remove nothing by themselves. The tables are those of `airflow db clean`
(airflow/utils/db_cleanup.py), under its conditions or narrower ones; `LEFT` names the others. Rows go in
small batches, each a transaction of its own. A row that somebody has locked is left for the next run, so that
the scheduler never waits for this program. Deleting a DAG run deletes its task instances, XComs and
reschedules with it (ON DELETE CASCADE in Airflow 3.3.2's models).

On the host of a leading scheduler it logs in as the role of the epoch, like the scheduler. A switchover ends
that role's sessions and with them this program, wherever it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from psycopg import errors, sql

from airkiln import numbers
from airkiln.database.connect import Connection, connect, explain
from airkiln.database.target import parse
from airkiln.errors import RefusedError
from airkiln.roles import DATABASE
from airkiln.systemd.journal import WARNING, say

DAYS = "AIRKILN_RETENTION_DAYS"
"""The parameter; without it everything is kept."""
GATE = "AIRKILN_GATE"
"""Set where a failover controller may run (airkiln_airflow.fenced)."""
SERVICE_FILE = Path("/run/airkiln-failover/pg_service.conf")
"""The login of the epoch, which the failover controller writes where its host leads."""
BATCH = 500
"""Rows of one transaction: some tenths of a second, also where each is a DAG run with its task instances."""
PAUSE = 0.2
"""Seconds between two batches, for everybody else."""
LIMITS = "SET statement_timeout = '60s'; SET lock_timeout = '1s'"
"""Of one batch: a row that another one depends on may be locked as well."""


@dataclass(frozen=True)
class Table:
    """A table that grows, and which of its rows have ended before the moment `%(before)s`."""

    name: str
    ended: str


TABLES = (
    # The last run that was not triggered by hand stays: from it the scheduler finds the next one.
    Table(
        "dag_run",
        "state IN ('success', 'failed') AND coalesce(end_date, start_date) < %(before)s "
        "AND (run_type = 'manual' OR EXISTS (SELECT FROM dag_run newer "
        "WHERE newer.dag_id = old.dag_id AND newer.run_type <> 'manual' AND newer.id > old.id))",
    ),
    Table("job", "state IN ('success', 'failed') AND latest_heartbeat < %(before)s"),
    Table("log", "dttm < %(before)s"),
    Table("asset_event", '"timestamp" < %(before)s'),
    # After the runs, whose task instances refer to them (ON DELETE RESTRICT). A version has ended when a
    # newer one took its place; one that a remaining run names stays, so that the UI can show what ran.
    Table(
        "dag_version",
        "EXISTS (SELECT FROM dag_version newer WHERE newer.dag_id = old.dag_id "
        "AND newer.version_number > old.version_number AND newer.created_at < %(before)s) "
        "AND NOT EXISTS (SELECT FROM task_instance WHERE dag_version_id = old.id) "
        "AND NOT EXISTS (SELECT FROM dag_run WHERE created_dag_version_id = old.id)",
    ),
    # After the runs, whose deadlines go with them: a callback waits for its deadline as `scheduled`. Deleting
    # one deletes its deadline. Those of the DAG processor have no state.
    Table(
        "callback",
        "created_at < %(before)s AND (state IN ('success', 'failed') OR state IS NULL OR "
        "(state = 'scheduled' AND NOT EXISTS (SELECT FROM deadline WHERE callback_id = old.id)))",
    ),
    # From the keys of a pending run the scheduler decides whether it is due. Nothing else removes the others.
    Table(
        "partitioned_asset_key_log",
        "created_at < %(before)s AND NOT EXISTS "
        "(SELECT FROM asset_partition_dag_run WHERE id = old.asset_partition_dag_run_id)",
    ),
    # Each holds a connection's login and its encrypted password.
    Table("connection_test_request", "state IN ('success', 'failed') AND updated_at < %(before)s"),
    # Only a database that began with Airflow 2 has it.
    Table("_xcom_archive", '"timestamp" < %(before)s'),
    Table("celery_taskmeta", "date_done < %(before)s"),
    Table("celery_tasksetmeta", "date_done < %(before)s"),
    Table("session", "expiry < %(before)s"),
    Table("revoked_token", "exp < %(before)s"),
)
WITH_ITS_RUN = "goes with its DAG run (ON DELETE CASCADE)"
LEFT: Mapping[str, str] = {
    "dag": "one row for each DAG, with whether it is paused; people delete a DAG, with its versions",
    "deadline": WITH_ITS_RUN + " or with its callback",
    "import_error": "one row for each file; the DAG processor removes it when the file parses or is gone",
    "task_instance": WITH_ITS_RUN,
    "task_instance_history": WITH_ITS_RUN,
    "task_reschedule": WITH_ITS_RUN,
    "task_state_store": WITH_ITS_RUN,
    "trigger": "the triggerer removes those that nobody waits for",
    "xcom": WITH_ITS_RUN,
}
"""What `airflow db clean` empties and this program does not, and why."""


def days(variables: Mapping[str, str]) -> int | None:
    """The parameter's value; None where everything is kept. Raises RefusedError."""
    text = variables.get(DAYS, "")
    if not text:
        return None
    if reason := numbers.reason(DAYS, text):
        raise RefusedError([f"{DAYS}: {reason}"])
    return int(text)


def login(
    variables: Mapping[str, str], role: str | None, service: Path = SERVICE_FILE
) -> dict[str, str] | None:
    """libpq's keywords for this host; None on a standby, where nothing is to be done.

    :param variables: those of the unit, with the parameters.
    :param role: of the host.
    """
    if variables.get(GATE) and role != "all":
        return _of_the_epoch(service)
    target = parse(variables.get(DATABASE, ""))
    return target.keywords(target.user, target.password)


def _of_the_epoch(service: Path) -> dict[str, str] | None:
    """The login that the failover controller wrote; None where this host does not lead."""
    try:
        lines = service.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    return {name: value for name, equals, value in (line.partition("=") for line in lines) if equals}


def clean(
    keywords: Mapping[str, str], age: int, *, wait: Callable[[float], None] = time.sleep, batch: int = BATCH
) -> dict[str, int]:
    """Delete what is older than `age` days; returns the number of rows by table. Raises what `explain` says.

    :param keywords: libpq's, of a role that may delete.
    """
    before = datetime.now(UTC) - timedelta(days=age)
    deleted: dict[str, int] = {}
    with connect(keywords) as connection:
        try:
            connection.execute(LIMITS)
            for table in TABLES:
                if _exists(connection, table):
                    deleted[table.name] = _empty(connection, table, before, wait, batch)
        except psycopg.Error as error:
            raise explain(error, keywords) from None
        finally:
            for name, rows in deleted.items():
                if rows:
                    say(f"event=cleaned table={name} rows={rows} reason=older than {age} days")
    return deleted


def _exists(connection: Connection, table: Table) -> bool:
    """Airflow makes some tables only where a component needs them, such as Celery's."""
    found = connection.execute("SELECT to_regclass(%s)", [table.name]).fetchone()
    return bool(found and found[0])


def _empty(
    connection: Connection, table: Table, before: datetime, wait: Callable[[float], None], batch: int
) -> int:
    statement = sql.SQL(
        "DELETE FROM {name} WHERE ctid = ANY(ARRAY("
        "SELECT ctid FROM {name} old WHERE {ended} LIMIT {batch} FOR UPDATE OF old SKIP LOCKED))"
    ).format(name=sql.Identifier(table.name), ended=sql.SQL(table.ended), batch=sql.Literal(batch))
    rows = 0
    while True:
        try:
            last = connection.execute(statement, {"before": before}).rowcount
        except errors.LockNotAvailable:
            return rows  # the next run goes on from here
        except errors.ForeignKeyViolation as error:
            # Somebody referred to a row meanwhile, or this release of Airflow has another reference to it.
            say(f"event=kept table={table.name} reason=referred to by {error.diag.table_name}", WARNING)
            return rows
        rows += last
        if last < batch:
            return rows
        wait(PAUSE)
