"""Whether Airflow's schema in the database is the one that this image's Airflow works with.

Where it is not, Airflow ends with exit code 1 after it has loaded for seconds, whatever the reason (3.3.2,
utils/db.py, check_and_run_migrations). The revisions are read from Airflow's migrations as Alembic does,
without importing either. `AIRFLOW__DATABASE__CHECK_MIGRATIONS` switches this check off with Airflow's own.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import psycopg

AIRFLOW = Path("/opt/airflow")
CHECK = "AIRFLOW__DATABASE__CHECK_MIGRATIONS"
_MIGRATIONS = "lib/python3*/site-packages/airflow/migrations/versions/*.py"
_REVISION = re.compile(r"^(down_)?revision(?:: [^=\n]+)? = (.+)$", re.MULTILINE)
_QUERY: LiteralString = "SELECT version_num FROM public.alembic_version"


@dataclass(frozen=True)
class Revisions:
    """The revisions of Airflow's schema that an image knows, and the newest of them."""

    known: frozenset[str]
    heads: frozenset[str]

    def misfit(self, found: Iterable[str]) -> str | None:
        """Why Airflow does not start on a database with these revisions, and what to do; None if it does."""
        revisions = frozenset(found)
        if revisions == self.heads:
            return None
        if not revisions:
            return "Airflow's schema is not there: run the database step of this release"
        names, needed = " ".join(sorted(revisions)), " ".join(sorted(self.heads))
        if revisions <= self.known:
            return (
                f"Airflow's schema has revision {names}, which is older than this image's Airflow "
                f"({needed}): run the database step of this release"
            )
        return (
            f"Airflow's schema has revision {names}, which this image's Airflow ({needed}) does not know: a "
            "newer release has migrated the database: start instances of that release, or restore the "
            "database from before its migration"
        )


def of_image(environment: Mapping[str, str], airflow: Path = AIRFLOW) -> Revisions | None:
    """The revisions of this image's Airflow; None where nothing is to be checked, or none can be read."""
    if environment.get(CHECK, "True").strip().lower() not in ("true", "t", "1"):
        return None
    revisions: set[str] = set()
    before: set[str] = set()
    for path in airflow.glob(_MIGRATIONS):
        for down, text in _REVISION.findall(path.read_text(encoding="utf-8")):
            value = ast.literal_eval(text)
            named = {value} if isinstance(value, str) else set(value or ())
            (before if down else revisions).update(named)
    return Revisions(frozenset(revisions), frozenset(revisions - before)) if revisions else None


def misfit(connection: psycopg.Connection[Any], image: Revisions | None) -> str | None:
    """Why Airflow does not start on this database; None where it does, or where that cannot be read.

    The login of an environment whose database step is older may not read it: Airflow's own check follows.
    """
    if image is None:
        return None
    try:
        rows = connection.execute(_QUERY).fetchall()
    except psycopg.errors.UndefinedTable:
        rows = []
    except psycopg.Error:
        return None
    return image.misfit(row["version_num"] if isinstance(row, dict) else row[0] for row in rows)
