"""The demand of every queue, from Airflow's own table of task instances; and whether this host leads.

One connection, which only reads. Task instances that have ended are never read, however many there are:
Airflow's index on `task_instance (state)` finds the others. On a database without statistics (just restored,
or just upgraded) the planner might not choose it, so that sequential scans are off for this connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, LiteralString, Protocol

import psycopg

from airkiln.autoscale.model import Demand, Group
from airkiln.database.connect import Connection, connect, explain
from airkiln.errors import UnavailableError
from airkiln.pools.model import Pool

CONNECT_LIMIT = 2.0
"""Seconds for a connection."""
SETTINGS = {
    # A scan that is switched off is so dear to the planner that it would have one row's question compiled.
    "options": "-c default_transaction_read_only=on -c statement_timeout=5s -c enable_seqscan=off -c jit=off",
    # What a server that vanished does not acknowledge is given up after so many milliseconds.
    "tcp_user_timeout": "5000",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
}
LOCK = 0x6169726B696C6E
"""Of the session advisory lock ("airkiln") by which one host decides where no controller runs."""

QUERY: LiteralString = """
SELECT state, queue, executor, CASE WHEN state <> 'queued' THEN hostname END AS host, count(*),
       coalesce(extract(epoch FROM clock_timestamp() - min(queued_dttm)), 0)::float
  FROM public.task_instance
 WHERE state IN ('queued', 'running', 'restarting')
 GROUP BY 1, 2, 3, 4
"""
"""One that is restarting was cleared while it ran: until it notices, it has its slot."""
LEASE: LiteralString = "SELECT holder, expires_at > clock_timestamp() FROM airkiln.lease"
_LOCKED: LiteralString = "SELECT pg_try_advisory_lock(%s)"


@dataclass(frozen=True, slots=True)
class Counted:
    """Task instances that agree in all of this. `oldest` is the age of the first in seconds."""

    state: str
    queue: str
    executor: str | None
    host: str | None
    count: int
    oldest: float


@dataclass(frozen=True)
class Totals:
    """Demand by pool; `hosts` are all running task instances by worker; `without_pool` are those queued in a
    queue that no pool takes, by queue."""

    pools: Mapping[str, Demand]
    hosts: Mapping[str, int]
    without_pool: Mapping[str, int]

    def of(self, name: str, group: Group | None) -> Demand:
        """A pool's demand. On its own workers every task counts: a queue may have been another pool's when a
        task began, and its worker is busy all the same."""
        demand = self.pools[name]
        if group is None:
            return demand
        here = [each.address for each in group.instances if each.address is not None]
        running = {address: self.hosts[address] for address in here if address in self.hosts}
        return replace(demand, running={**demand.running, **running})


class Source(Protocol):
    """What the daemon reads. Either method may raise AirkilnError."""

    def leads(self) -> bool:
        """Whether this host leads."""
        ...

    def count(self) -> list[Counted]:
        """What is queued and running."""
        ...


class Database:
    """The connection. Every method raises what `explain` says, and the next call connects again.

    :param host: this host's name among controllers.
    :param locking: no controller runs: who has the lock leads.
    """

    def __init__(self, keywords: Mapping[str, str], host: str, *, locking: bool = False) -> None:
        self._keywords = {**keywords, **SETTINGS}
        self._host = host
        self._locking = locking
        self._connection: Connection | None = None
        self._locked = False

    def leads(self) -> bool:
        """Whether this host leads, as the database has it at this moment."""
        if not self._locking:
            return any(
                held and str(holder).partition("/")[0] == self._host for holder, held in self._rows(LEASE)
            )
        if self._locked:  # it ends with its session: one that answers still has it
            self._rows("SELECT 1")
        if not self._locked:
            self._locked = bool(self._rows(_LOCKED, LOCK)[0][0])
        return self._locked

    def count(self) -> list[Counted]:
        """What is queued and running."""
        return [
            Counted(state, queue or "", executor, host, count, max(0.0, oldest))
            for state, queue, executor, host, count, oldest in self._rows(QUERY)
        ]

    def close(self) -> None:
        """End the session, and with it the lock."""
        connection, self._connection = self._connection, None
        self._locked = False
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    def _rows(self, statement: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            self.close()
            self._connection = connect(self._keywords, limit=CONNECT_LIMIT)
        try:
            return self._connection.execute(statement, values, prepare=False).fetchall()
        except psycopg.Error as error:
            self.close()
            if isinstance(error, psycopg.errors.QueryCanceled):
                raise UnavailableError("the database did not answer within 5 s") from None
            raise explain(error, self._keywords) from None


def by_pool(counted: Iterable[Counted], pools: Mapping[str, Pool], executors: str) -> Totals:
    """Sum up by pool.

    :param executors: AIRFLOW__CORE__EXECUTOR. What other executors than Celery's run needs no worker.
    """
    ours = _Executors(executors)
    owner = {queue: pool.name for pool in pools.values() for queue in pool.queues}
    queued = dict.fromkeys(pools, 0)
    oldest = dict.fromkeys(pools, 0.0)
    running: dict[str, dict[str, int]] = {name: {} for name in pools}
    hosts: dict[str, int] = {}
    without_pool: dict[str, int] = {}
    for each in counted:
        if not ours.celery(each.executor):
            continue
        name = owner.get(each.queue)
        if each.state == "queued":
            if name is None:
                without_pool[each.queue] = without_pool.get(each.queue, 0) + each.count
                continue
            queued[name] += each.count
            oldest[name] = max(oldest[name], each.oldest)
        elif each.host:
            hosts[each.host] = hosts.get(each.host, 0) + each.count
            if name is not None:
                running[name][each.host] = running[name].get(each.host, 0) + each.count
    demands = {name: Demand(queued[name], running[name], oldest[name]) for name in pools}
    return Totals(demands, hosts, without_pool)


class _Executors:
    """Which of Airflow's executors is Celery's, by any name that a task may give it."""

    def __init__(self, configured: str) -> None:
        names: list[tuple[set[str], bool]] = []
        for entry in configured.partition(";")[0].split(","):
            alias, _, path = entry.strip().rpartition(":")
            if path:
                names.append(({path, path.rpartition(".")[2], alias} - {""}, "celery" in path.lower()))
        self._default = names[0][1] if names else True
        self._named = {name: celery for found, celery in names for name in found}

    def celery(self, name: str | None) -> bool:
        """Whether it runs on workers; None is the first one configured."""
        if name is None:
            return self._default
        return self._named.get(name, "celery" in name.lower())
