"""Faults of a leading scheduler host, one function each.

Each is a context manager. Entered, it injects the fault into the host that leads and yields the moment on
CLOCK_MONOTONIC from which the takeover counts; left, it removes what remains of the fault. It does not wait
until the cluster is ready again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from rehearsal.chaos.faults.network import cut_from_database, frozen
from rehearsal.deployment.cluster import Cluster
from rehearsal.deployment.host import CONTROLLER_UNIT, SCHEDULER_UNIT, Host
from rehearsal.errors import RehearsalError

Inject = Callable[[Cluster, Host], AbstractContextManager[float]]
"""Takes the cluster and the host that leads."""
SWITCHOVER = "switchover"
"""The operator's command below `airkiln failover`."""


def kill(unit: str, number: signal.Signals) -> Inject:
    """Send a signal to a unit's main process. One that was stopped continues at the end."""

    @contextmanager
    def inject(_: Cluster, leader: Host) -> Iterator[float]:
        pid = leader.main_process(unit)
        at = time.monotonic()
        os.kill(pid, number)
        try:
            yield at
        finally:
            if number is signal.SIGSTOP:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    return inject


@contextmanager
def kill_without_standby(cluster: Cluster, leader: Host) -> Iterator[float]:
    """Kill the scheduler while no other host can take over, so that the same host has to begin again."""
    others = [host for host in cluster.schedulers if host != leader]
    for host in others:
        host.systemctl("stop", CONTROLLER_UNIT)
    try:
        time.sleep(4)  # until the leader's controller no longer counts them as ready
        with kill(SCHEDULER_UNIT, signal.SIGKILL)(cluster, leader) as at:
            yield at
    finally:
        for host in others:
            host.systemctl("start", "--no-block", "airkiln-scheduler.target", CONTROLLER_UNIT, SCHEDULER_UNIT)


@contextmanager
def kill_host(_: Cluster, leader: Host) -> Iterator[float]:
    """Cut the power of the host. It boots again at the end."""
    at = time.monotonic()
    leader.cut_power()
    try:
        yield at
    finally:
        leader.power_on()


@contextmanager
def freeze_host(_: Cluster, leader: Host) -> Iterator[float]:
    """Stop the whole host until the end, when it continues where it was."""
    at = time.monotonic()
    with frozen(leader):
        yield at


def partition(*, towards: bool, back: bool) -> Inject:
    """Drop packets between the host and the database.

    :param towards: those towards the database.
    :param back: those from it.
    """

    @contextmanager
    def inject(_: Cluster, leader: Host) -> Iterator[float]:
        at = time.monotonic()
        with cut_from_database(leader, towards=towards, back=back):
            yield at

    return inject


@contextmanager
def switch_over(_: Cluster, leader: Host) -> Iterator[float]:
    """Ask the leader to hand its role to a standby, with the operator's command."""
    command = leader.machine.inside("/opt/airkiln/bin/airkiln", "failover", SWITCHOVER)
    at = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as asked:
        try:
            yield at
        finally:
            output = asked.communicate(timeout=30)[0]
    if asked.returncode:
        raise RehearsalError(f"`airkiln failover {SWITCHOVER}` failed on {leader.name}: {output.strip()}")
