"""How many connections each role of the metadata database may have. Pure.

A server whose slots are taken admits nobody: no controller can renew its lease over a new connection, and no
person can look. So the limits of the roles whose connections grow with the fleet, or belong to other people's
code, add up to less than the server's slots. What is kept back is for the controllers and the administrator.
A limit belongs to a role, and a role to the whole server.
"""

from __future__ import annotations

from dataclasses import dataclass

from airkiln.errors import RefusedError

KEPT = 24
"""Slots that no limit reaches: three for each scheduler host (the lease, metrics, autoscaler), of four hosts
while two are replaced, and the rest for commands, the database step and a person."""
LEAST = 20
"""Slots that must be left to share: below it, not even one web server and one worker fit."""
SCHEDULER_LEAST, SCHEDULER_MOST = 15, 40
"""Of one epoch's role: a scheduler and a DAG processor, each with Airflow's pool of 5 and overflow of 10."""


@dataclass(frozen=True)
class Budget:
    """The connection limits of one server's roles."""

    scheduler: int
    """Of each epoch's role. Two of them count: the older one's sessions end while the newer one's begin."""
    airflow: int
    """Of the web servers, the triggerers and the migration."""
    worker: int


def share(max_connections: int, reserved: int) -> Budget:
    """The budget of a server.

    :param max_connections: the server's own setting.
    :param reserved: slots of it that the server keeps for superusers, for RDS and for members of
        pg_use_reserved_connections.
    :raises RefusedError: the server is too small.
    """
    usable = max_connections - reserved - KEPT
    scheduler = min(SCHEDULER_MOST, max(SCHEDULER_LEAST, usable * 15 // 100))
    left = usable - 2 * scheduler
    if left < LEAST:
        raise RefusedError(
            [
                f"the database server has max_connections = {max_connections}, {reserved} of them reserved: "
                f"Airkiln needs {KEPT + 2 * SCHEDULER_LEAST + LEAST} beside the reserved ones: "
                "raise it, or take a larger instance class"
            ]
        )
    worker = left // 2
    return Budget(scheduler, airflow=left - worker, worker=worker)
