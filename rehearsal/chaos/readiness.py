"""When a cluster is ready for the next fault: a leader, its standbys, and no task under way."""

from __future__ import annotations

from rehearsal.chaos.faults import zones
from rehearsal.chaos.faults.network import heal
from rehearsal.chaos.observer import Leader, Observer
from rehearsal.deployment.host import SCHEDULER_UNIT

READY = 120.0
"""Seconds for a cluster to be ready again after a fault: a killed host boots, and imports Airflow."""
FRESH = 12.0
"""Seconds: a scheduler with an older heartbeat does not count as running. Airflow writes one every 5 s."""


def wait_until_ready(observer: Observer, *, controllers: bool = True, seconds: float = READY) -> None:
    """Remove what an interrupted fault left, and wait until the cluster is ready for the next one.

    :param controllers: wait for a leader and its standbys; otherwise for a running job on every host.
    """
    hosts = observer.cluster.schedulers
    zones.heal(hosts[0].region)
    for host in hosts:
        heal(host)
    if controllers:
        observer.wait_until("a leader and its standbys are ready", lambda: led(observer, len(hosts)), seconds)
    else:
        observer.wait_until(
            "every scheduler's job runs",
            lambda: len({each.host for each in running(observer)}) == len(hosts),
            seconds,
        )
    observer.wait_until("nothing is under way", observer.idle, seconds)


def led(observer: Observer, hosts: int) -> bool:
    """Whether one host leads, its scheduler's job runs, and all other hosts are ready to take over."""
    return observer.standbys() >= hosts - 1 and any(is_there(each) for each in observer.schedulers()[:1])


def running(observer: Observer) -> list[Leader]:
    """The schedulers that have a process and a recent heartbeat."""
    return [
        each for each in observer.schedulers() if observer.heartbeat_age(each.job) < FRESH and is_there(each)
    ]


def is_there(scheduler: Leader) -> bool:
    """Whether the scheduler's unit has a process."""
    return bool(scheduler.host.processes(SCHEDULER_UNIT))
