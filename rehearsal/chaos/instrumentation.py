"""What the tests of a cluster add to it: roles of their own in PostgreSQL, and its log of every statement."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rehearsal.aws.client import client
from rehearsal.deployment import parameters
from rehearsal.deployment.postgres import Postgres
from rehearsal.linux.addresses import POSTGRES

MARKER, OBSERVER = "rehearsal_marker", "rehearsal_observer"
"""Roles of the tests' own: the first writes the tasks' marks, the second reads everything."""

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
"""Every statement with its role and its time, of which the checker makes its verdict. No values."""
LOG_FOLDER = Path("var/lib/postgresql/17/main/log")

SCHEMA = """
CREATE SCHEMA IF NOT EXISTS rehearsal;
CREATE TABLE IF NOT EXISTS rehearsal.mark (
    run_id text, task_id text, map_index int, try_number int, what text,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""


def put(wanted: Mapping[str, Mapping[str, str]]) -> None:
    """Store parameters of the environment, by folder."""
    ssm = client("ssm")
    for folder, values in wanted.items():
        for name, value in values.items():
            ssm.put_parameter(
                Name=f"{parameters.FOLDER}/{folder}/{name}", Value=value, Type="SecureString", Overwrite=True
            )


def remove(folder: str, names: Iterable[str]) -> None:
    """Delete parameters of the environment, if they are there."""
    client("ssm").delete_parameters(Names=[f"{parameters.FOLDER}/{folder}/{name}" for name in names])


def parameter(name: str) -> str:
    """One parameter of the environment, by folder and name; empty if there is none."""
    ssm = client("ssm")
    try:
        found = ssm.get_parameter(Name=f"{parameters.FOLDER}/{name}", WithDecryption=True)
    except ssm.exceptions.ParameterNotFound:
        return ""
    return str(found["Parameter"]["Value"])


def own_parameters(postgres: Postgres) -> dict[str, dict[str, str]]:
    """The roles of the tests' own: the marker's for the worker, the observer's for whoever measures."""
    postgres.sql(SCHEMA, "airflow")
    folders: dict[str, dict[str, str]] = {"worker": {}, "tests": {}}
    for role, folder, name in (
        (MARKER, "worker", "AIRKILN_REHEARSAL_MARKS"),
        (OBSERVER, "tests", "OBSERVER"),
    ):
        password = secrets.token_urlsafe(24)
        postgres.create_role(role, password)
        address = f"postgresql://{role}:{password}@{POSTGRES}/airflow?sslmode=require"
        folders[folder][name] = address
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


def log_every_statement(postgres: Postgres) -> None:
    """Have PostgreSQL log every statement as JSON; restarts it if it did not."""
    if postgres.sql("SHOW log_statement") == "all":
        return
    path = "/etc/postgresql/17/main/conf.d/statements.conf"
    postgres.machine.execute(["sh", "-c", f"cat > {path}"], text=LOGGING)
    postgres.machine.execute(["systemctl", "restart", "postgresql@17-main.service"])
    postgres.start()


def log_files(postgres: Postgres) -> list[Path]:
    """PostgreSQL's log of statements, oldest first, as files of this host."""
    return sorted((postgres.machine.upper / LOG_FOLDER).glob("*.json"))


class StatementLog:
    """PostgreSQL's log of statements, read on from where it was read before."""

    def __init__(self, postgres: Postgres, *, from_now: bool = True) -> None:
        """``from_now`` passes over what is there already."""
        self._postgres = postgres
        self._read = {path: path.stat().st_size for path in log_files(postgres)} if from_now else {}

    def new(self) -> list[dict[str, Any]]:
        """The entries since the last call; a line that is half written comes with the next one."""
        found = []
        for path in log_files(self._postgres):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                text = file.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._read[path] = self._read.get(path, 0) + len(whole)
            found += [json.loads(line) for line in whole.splitlines()]
        return found
