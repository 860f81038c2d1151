"""How far Airflow is behind, for the leader's metrics.

Read once a minute over a connection of its own, so that the lease's never waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airkiln.database.connect import connect

_QUERY = """
SELECT (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(queued_dttm)), 0)::float
          FROM task_instance WHERE state = 'queued'),
       (SELECT count(*) FROM import_error)
"""


@dataclass(frozen=True)
class Backlog:
    """`oldest_queued` is the age of the oldest queued task instance in seconds, 0 where none is queued."""

    oldest_queued: float
    import_errors: int


def read_backlog(keywords: Mapping[str, str]) -> Backlog:
    """Ask the metadata database. AirkilnError where it cannot be read."""
    limit = {"options": "-c statement_timeout=5000"}
    with connect({**keywords, **limit}, limit=2) as connection:
        row = connection.execute(_QUERY).fetchone()
    oldest, errors = row or (0.0, 0)
    return Backlog(max(0.0, oldest), errors)
