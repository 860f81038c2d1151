"""An Airflow for one test: a machine of the image to run it on, and a database beside the cluster's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rehearsal.aws.services.rds.postgres import PORT, Postgres, identifier
from rehearsal.linux.addresses import POSTGRES
from rehearsal.linux.machine import Machine

ROOT = Path(__file__).parents[2]
SQL = ROOT / "src/airkiln/database/sql"
FOLDER = "/tmp/airkiln-workshop"
PASSWORD = "workshop-password"


class Workshop:
    """A database that is migrated, and real Airflow's answers to what is done in it."""

    def __init__(self, machine: Machine, postgres: Postgres, name: str) -> None:
        self.machine = machine
        self.postgres = postgres
        self.name = name
        self.folder = f"{FOLDER}-{name}"
        postgres.create_role(name, PASSWORD)
        self.drop()
        postgres.create_database(name, name)
        owned = ["install", "-d", "-o", "airflow", "-g", "airflow"]
        machine.execute([*owned, self.folder, f"{self.folder}/dags"])
        self.airflow("db", "migrate")

    def empty_results(self) -> None:
        """Make Celery's tables as a deployment's database step does, with the trigger."""
        known = self.postgres.sql("SELECT rolname FROM pg_roles").splitlines()
        for role in {"airflow", "airflow_worker", "airkiln_fence", "airkiln_job"} - set(known):
            self.postgres.sql(f"CREATE ROLE {role}")
        owner = identifier(self.name)
        functions = (
            "CREATE SCHEMA IF NOT EXISTS airkiln_job AUTHORIZATION airkiln_job; SET ROLE airkiln_job;"
            f"{(SQL / 'jobs.sql').read_text()} GRANT USAGE ON SCHEMA airkiln_job TO {owner};"
            f"GRANT EXECUTE ON FUNCTION airkiln_job.empty_result() TO {owner};"
        )
        self.postgres.sql(functions, self.name)
        self.postgres.sql(f"SET ROLE {owner};{(SQL / 'celery.sql').read_text()}", self.name)

    def airflow(self, *words: str) -> str:
        """Run an Airflow command."""
        return self._run("/opt/airflow/bin/airflow", *words)

    def report(self, script: str, dag: str) -> dict[str, Any]:
        """Run a script of this folder in Airflow's environment; the last line of its output is the report."""
        path = f"{self.folder}/{script}"
        for source, target in ((script, path), (dag, f"{self.folder}/dags/{dag}")):
            self.machine.execute(["tee", target], text=(ROOT / "tests/failover" / source).read_text())
        self.airflow("dags", "reserialize")
        found: dict[str, Any] = json.loads(self._run("/opt/airflow/bin/python", "-P", path).splitlines()[-1])
        return found

    def drop(self) -> None:
        """Leave no database behind."""
        self.postgres.sql(f"DROP DATABASE IF EXISTS {identifier(self.name)} WITH (FORCE)")

    def _run(self, *command: str) -> str:
        connection = (
            f"postgresql+psycopg://{self.name}:{PASSWORD}@{POSTGRES}:{PORT}/{self.name}?sslmode=require"
        )
        settings = {
            "AIRFLOW__API_AUTH__JWT_SECRET": "a-secret-of-the-workshop-" + 4 * "0123456789",
            "AIRFLOW__CELERY__BROKER_URL": "memory://",
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{connection}",
            "AIRFLOW__CORE__DAGS_FOLDER": f"{self.folder}/dags",
            "AIRFLOW__CORE__FERNET_KEY": "81HqDtbqAywKSOumSha3BhWNOdQ26slT6K0YaZeZyPs=",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": connection,
        }
        shell = 'set -a; . /etc/airkiln/airflow.env; set +a; cd /; exec env "$@"'
        given = [f"{name}={value}" for name, value in settings.items()]
        user = ["runuser", "-u", "airflow", "--"]
        return self.machine.execute([*user, "sh", "-c", shell, "sh", *given, *command]).stdout
