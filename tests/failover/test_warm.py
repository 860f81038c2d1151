"""The warm scheduler of a standby, as the kernel sees it: loaded, small, and connected to nothing."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from rehearsal.chaos.observer import Observer
from rehearsal.deployment.cluster import Cluster

pytestmark = [pytest.mark.root, pytest.mark.image]

UNIT = "airflow-scheduler.service"
MOST_RESIDENT = 200_000
"""kB that a process may hold which only waits: the budget of a warm standby."""


def tcp_sockets(pid: int) -> set[str]:
    """Inodes of the TCP sockets that a process holds open."""
    held = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            held.add(str(link.readlink()))
    open_ones = set()
    for table in ("tcp", "tcp6"):
        lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        open_ones |= {line.split()[9] for line in lines}
    return {inode for inode in open_ones if f"socket:[{inode}]" in held}


def said_by_the_kernel(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


@pytest.fixture
def leader(cluster: Cluster, observer: Observer) -> int:
    return observer.leader().host.main_process(UNIT)


@pytest.fixture
def standby(cluster: Cluster, observer: Observer) -> int:
    leads = observer.leader().host.name
    return next(host for host in cluster.schedulers if host.name != leads).main_process(UNIT)


def test_before_the_gate_opens_nothing_is_connected(standby: int, leader: int) -> None:
    assert tcp_sockets(leader), "the leader has no connection either: this test would see none"
    assert tcp_sockets(standby) == set()


def test_no_thread_waits_in_it_for_a_fork_to_trip_over(standby: int) -> None:
    assert said_by_the_kernel(standby, "Threads") == 1


def test_it_is_small(standby: int) -> None:
    assert said_by_the_kernel(standby, "VmRSS") <= MOST_RESIDENT
