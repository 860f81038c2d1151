"""What experiments add to a cluster: DAGs, database roles, a log of every statement, handlers of signals."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import psycopg

from rehearsal.aws.services.rds.postgres import Postgres
from rehearsal.deployment import parameters
from rehearsal.deployment.cluster import Extension
from rehearsal.deployment.host import SCHEDULER_UNIT
from rehearsal.linux.addresses import POSTGRES

WORKLOAD, PROBE = "failover_workload", "failover_probe"
"""The DAGs of rehearsal/chaos/dags/workload.py."""
DAGS = Path(__file__).with_name("dags")
MARKER, OBSERVER = "rehearsal_marker", "rehearsal_observer"
"""The roles: tasks write their marks as the first, the observer reads everything as the second."""
OBSERVER_PARAMETER = "tests/OBSERVER"

LOGGING = """\
logging_collector = on
log_destination = 'jsonlog'
log_filename = 'statements-%Y%m%d-%H%M%S'
log_rotation_age = 0
log_rotation_size = 256MB
log_statement = 'all'
log_connections = on
log_disconnections = on
log_parameter_max_length = 0
"""
"""Logs every statement with its role and time, without parameter values, for `checkers.statements`."""
LOG_FOLDER = Path("var/lib/postgresql/17/main/log")

SCHEMA = """
CREATE SCHEMA IF NOT EXISTS rehearsal;
CREATE TABLE IF NOT EXISTS rehearsal.mark (
    run_id text, task_id text, map_index int, try_number int, what text,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""


HOOK = Path(__file__).with_name("hooks") / "sitecustomize.py"
"""What a scheduler's Python imports when it starts (`faults.threads`)."""
HOOKS = "/usr/local/lib/airkiln-rehearsal"
"""Where a scheduler host has it."""


def _with_hook() -> str:
    """User data of scheduler hosts: cloud-init writes the hook before any unit of Airflow starts."""
    drop_in = f"/etc/systemd/system/{SCHEDULER_UNIT}.d/90-rehearsal.conf"
    files = {
        f"{HOOKS}/{HOOK.name}": HOOK.read_text(encoding="utf-8"),
        drop_in: f"[Service]\nEnvironment=PYTHONPATH={HOOKS}\n",
    }
    write = 'mkdir -p "$(dirname "$1")" && printf %s "$2" > "$1"'
    commands = [["sh", "-c", write, "sh", path, text] for path, text in files.items()]
    return "#cloud-config\n" + json.dumps({"bootcmd": [*commands, ["systemctl", "daemon-reload"]]}) + "\n"


class Instrumentation(Extension):
    """Instruments a cluster while it boots."""

    dag_folders = (DAGS,)
    dag_ids = (WORKLOAD, PROBE)
    scheduler_user_data = _with_hook()

    def on_database(self, postgres: Postgres) -> None:
        """Have PostgreSQL log from its first statement on."""
        log_every_statement(postgres)

    def on_prepared(self, postgres: Postgres) -> None:
        """Create table and roles, and give their addresses to workers and to the observer."""
        parameters.put(_create_roles(postgres))


def observer_address() -> str:
    """Address of the metadata database for the observer, whose statements are not logged."""
    return parameters.parameter(OBSERVER_PARAMETER)


def connect() -> psycopg.Connection[tuple[Any, ...]]:
    """Connect to the metadata database as the observer. The caller must be in the region's network."""
    return psycopg.connect(observer_address(), autocommit=True, connect_timeout=5)


def log_every_statement(postgres: Postgres) -> None:
    """Have PostgreSQL log every statement as JSON; restarts the server if it did not."""
    if postgres.sql("SHOW log_statement") == "all":
        return
    path = "/etc/postgresql/17/main/conf.d/statements.conf"
    postgres.machine.execute(["sh", "-c", f"cat > {path}"], text=LOGGING)
    postgres.machine.execute(["systemctl", "restart", "postgresql@17-main.service"])
    postgres.start()


class StatementLog:
    """PostgreSQL's log of statements; each call of `new` returns what was added since the last one."""

    def __init__(self, postgres: Postgres, *, from_now: bool = True) -> None:
        """:param from_now: skip what is there already."""
        self._postgres = postgres
        self._read = {path: path.stat().st_size for path in log_files(postgres)} if from_now else {}

    def new(self) -> list[dict[str, Any]]:
        """The entries since the last call. A line that is written only half comes with the next call."""
        found = []
        for path in log_files(self._postgres):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                text = file.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._read[path] = self._read.get(path, 0) + len(whole)
            found += [json.loads(line) for line in whole.splitlines()]
        return found


def log_files(postgres: Postgres) -> list[Path]:
    """The files of PostgreSQL's statement log on the real host, oldest first."""
    return sorted((postgres.machine.upper / LOG_FOLDER).glob("*.json"))


def _create_roles(postgres: Postgres) -> dict[str, dict[str, str]]:
    """Create the table of marks and both roles; returns the parameters that hold their addresses."""
    postgres.sql(SCHEMA, "airflow")
    folders: dict[str, dict[str, str]] = {"worker": {}, "tests": {}}
    observer_folder, observer_name = OBSERVER_PARAMETER.split("/")
    for role, folder, name in (
        (MARKER, "worker", "REHEARSAL_MARKS"),
        (OBSERVER, observer_folder, observer_name),
    ):
        password = secrets.token_urlsafe(24)
        postgres.create_role(role, password)
        folders[folder][name] = (
            f"postgresql://{role}:{password}@{POSTGRES}/airflow?sslmode=require&require_auth=scram-sha-256"
        )
    postgres.sql(
        f"""
        GRANT CONNECT ON DATABASE airflow TO {MARKER}, {OBSERVER};
        GRANT USAGE ON SCHEMA rehearsal TO {MARKER}, {OBSERVER};
        GRANT INSERT ON rehearsal.mark TO {MARKER};
        GRANT pg_read_all_data, pg_monitor TO {OBSERVER};
        ALTER ROLE {OBSERVER} SET log_statement = 'none';
        ALTER ROLE {MARKER} SET log_statement = 'none';
        """,
        "airflow",
    )
    return folders
