"""What can happen to a cluster's schedulers: each fault strikes, says when it struck, and is undone.

The same faults serve the tests, one run each, and the benchmark, many. A fault is a context manager: entered,
it strikes the host that leads and yields the moment on CLOCK_MONOTONIC from which the time counts; left, it
takes away what is left of it. It does not wait until the cluster is whole again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass

import psycopg

from rehearsal.chaos.faults.network import cut_from_database
from rehearsal.chaos.instrumentation import parameter
from rehearsal.deployment.cluster import CONTROLLER_UNIT, SCHEDULER_UNIT, Cluster, Host
from rehearsal.errors import RehearsalError

DATABASE_UNIT = "postgresql@17-main.service"
DAG_PROCESSOR_UNIT = "airflow-dag-processor.service"
SECTION_LOCK = 2
"""Airflow's advisory lock of the scheduler's critical section (airflow/utils/db.py, DBLocks)."""

Strike = Callable[[Cluster, Host], AbstractContextManager[float]]


@dataclass(frozen=True)
class Fault:
    """One kind of fault and what may pass until the next task instance is queued."""

    name: str
    strike: Strike
    budget: float
    """Seconds, from docs/failover.md."""
    successor: bool = True
    """Whether another scheduler process has to take over; else whoever queues next is right."""
    standby: bool = True
    """Whether another host is ready."""


def _kill(unit: str, number: signal.Signals) -> Strike:
    @contextmanager
    def strike(_: Cluster, leader: Host) -> Iterator[float]:
        pid = leader.main_process(unit)
        at = time.monotonic()
        os.kill(pid, number)
        try:
            yield at
        finally:
            if number is signal.SIGSTOP:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    return strike


@contextmanager
def _no_standby(cluster: Cluster, leader: Host) -> Iterator[float]:
    others = [host for host in cluster.schedulers if host != leader]
    for host in others:
        host.systemctl("stop", CONTROLLER_UNIT)
    try:
        time.sleep(4)  # until the leader's controller no longer counts them as ready
        with _kill(SCHEDULER_UNIT, signal.SIGKILL)(cluster, leader) as at:
            yield at
    finally:
        for host in others:
            host.systemctl("start", "--no-block", "airkiln-scheduler.target", CONTROLLER_UNIT, SCHEDULER_UNIT)


@contextmanager
def _host_killed(cluster: Cluster, leader: Host) -> Iterator[float]:
    at = time.monotonic()
    leader.cut_power()
    try:
        yield at
    finally:
        cluster.power_on(leader)


def _partition(*, towards: bool, back: bool) -> Strike:
    @contextmanager
    def strike(_: Cluster, leader: Host) -> Iterator[float]:
        at = time.monotonic()
        with cut_from_database(leader, towards=towards, back=back):
            yield at

    return strike


@contextmanager
def _hand_over(_: Cluster, leader: Host) -> Iterator[float]:
    command = leader.machine.inside("/opt/airkiln/bin/airkiln", "failover", "switchover")
    at = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as asked:
        try:
            yield at
        finally:
            said = asked.communicate(timeout=30)[0]
    if asked.returncode:
        raise RehearsalError(f"The switchover was refused on {leader.name}: {said.strip()}")


@contextmanager
def _database_restart(cluster: Cluster, _: Host) -> Iterator[float]:
    server = cluster.postgres.machine
    server.execute(["systemctl", "stop", DATABASE_UNIT])
    try:
        time.sleep(2)
    finally:
        server.execute(["systemctl", "start", "--no-block", DATABASE_UNIT])
    yield first_connection(30)


def first_connection(seconds: float) -> float:
    """The moment at which the database accepts a connection."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with (
            suppress(psycopg.OperationalError),
            psycopg.connect(parameter("tests/OBSERVER"), connect_timeout=2),
        ):
            return time.monotonic()
        time.sleep(0.01)
    raise RehearsalError(f"PostgreSQL has accepted no connection within {seconds:g} s of its start.")


@contextmanager
def _lock_held(_: Cluster, __: Host) -> Iterator[float]:
    """Somebody's session, idle in a transaction, with the locks without which nothing is queued."""
    address = parameter("scheduler/AIRFLOW__DATABASE__SQL_ALCHEMY_CONN").replace("+psycopg", "", 1)
    session = psycopg.connect(address, connect_timeout=5)
    try:
        session.execute("SELECT pg_advisory_xact_lock(%s)", (SECTION_LOCK,))
        session.execute("SELECT pool FROM slot_pool FOR UPDATE")
        yield time.monotonic()
    finally:
        with suppress(psycopg.Error):
            session.close()


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("scheduler_sigkill", _kill(SCHEDULER_UNIT, signal.SIGKILL), 1.2),
        Fault("hand_over", _hand_over, 1.2),
        Fault("controller_sigkill", _kill(CONTROLLER_UNIT, signal.SIGKILL), 2.0),
        Fault("host_killed", _host_killed, 6.0),
        Fault("partition_both", _partition(towards=True, back=True), 6.0),
        Fault("database_restart", _database_restart, 5.0, successor=False),
        Fault("controller_sigstop", _kill(CONTROLLER_UNIT, signal.SIGSTOP), 6.0),
        Fault("scheduler_sigstop", _kill(SCHEDULER_UNIT, signal.SIGSTOP), 15.0),
        Fault("lock_held", _lock_held, 15.0, successor=False),
        Fault("partition_in", _partition(towards=False, back=True), 6.0),
        Fault("partition_out", _partition(towards=True, back=False), 6.0),
        Fault("scheduler_sigkill_no_standby", _no_standby, 6.0, standby=False),
    )
}
"""By name, in the order in which a campaign goes through them."""
