"""One fault, once: the cluster is whole, the fault strikes, the next task instance is queued, all is checked.

Tests and the benchmark call the same function. Airflow without a controller has one like it: there the
survivor goes on by itself, and what it adopts of the dead scheduler's is a second figure.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from rehearsal.chaos.faults.network import heal
from rehearsal.chaos.faults.schedulers import Fault
from rehearsal.chaos.observer import Leader, Observer, background
from rehearsal.deployment.cluster import LOAD, SCHEDULER_UNIT
from rehearsal.errors import RehearsalError

WHOLE = 120.0
"""Seconds for a cluster to be whole again after a fault: a killed host boots, Airflow is imported anew."""
PATIENCE = 60.0
"""Seconds for the next task instance to be queued, whatever the budget: a miss is a figure too."""
FINISHED = 90.0
"""Seconds for the tasks to end."""
ADOPTED = 400.0
"""Seconds for a scheduler at Airflow's defaults to adopt: a heartbeat 30 s old, looked at every 300 s."""

ATTEMPTS = 5
CHANCE = random.SystemRandom()


@dataclass(frozen=True)
class Trial:
    """What came of it."""

    fault: str
    began: float
    """When the fault struck, in seconds since 1970."""
    seconds: float | None
    """From the fault to the next task instance queued by the successor; None: none is waited for."""
    job: int
    """The SchedulerJob that led before."""
    adopted: float | None = None
    """Of a peer: from the fault until no unfinished task instance belongs to the dead scheduler."""
    problems: list[str] = field(default_factory=list)
    """What must not have happened."""


def trial(observer: Observer, fault: Fault) -> Trial:
    """Strike once where controllers run. RehearsalError if the cluster is not whole, or nothing is queued."""
    leader = leader_under_load(observer)
    with fault.strike(observer.cluster, leader.host) as at, observer.probing() as wait:
        began = time.time() - (time.monotonic() - at)
        moment = wait(PATIENCE, lambda job: job > leader.job or not fault.successor)
    takeover = time.time() - (time.monotonic() - moment)
    observer.wait_until("every task has ended", observer.idle, FINISHED)
    return Trial(fault.name, began, moment - at, leader.job, problems=observer.verdict(takeover))


def leader_under_load(observer: Observer) -> Leader:
    """Who leads a whole cluster with tasks under way; tried again if it leads no more when all is ready."""
    for _ in range(ATTEMPTS):
        make_whole(observer)
        leader = observer.leader()
        background(observer)
        observer.wait_until("the load runs", lambda: not observer.idle(), 30)
        time.sleep(CHANCE.uniform(1.0, 3.0))  # so that the fault strikes at any moment of any loop
        if observer.schedulers()[:1] == [leader] and _there(leader):
            return leader
    raise RehearsalError(
        f"No scheduler led for a few seconds in {ATTEMPTS} attempts: is the machine overloaded?"
    )


def peer_trial(observer: Observer, fault: Fault, *, adoption: bool) -> Trial:
    """Strike one of two schedulers that are both active, without a controller.

    :param adoption: wait for it too, minutes, with tasks that run all the while.
    """
    make_whole(observer, controllers=False)
    load = background(observer, tasks=2, seconds=ADOPTED if adoption else 4)
    observer.wait_until("the load runs", lambda: not observer.idle(), 30)
    time.sleep(CHANCE.uniform(6.0, 12.0))
    victim = max(observer.schedulers(), key=lambda each: (observer.left_by(each.job), each.job))
    with fault.strike(observer.cluster, victim.host) as at, observer.probing() as wait:
        began = time.time() - (time.monotonic() - at)
        moment = wait(PATIENCE, lambda job: job != victim.job or not fault.successor)
        if adoption:
            adopted = wait_for_adoption(observer, victim, at)
            observer.cluster.airflow.end(LOAD, load)
            observer.runs.remove(load)
    takeover = time.time() - (time.monotonic() - moment)
    observer.wait_until("every task has ended", observer.idle, FINISHED)
    problems = observer.verdict(takeover)
    return Trial(fault.name, began, moment - at, victim.job, adopted if adoption else None, problems)


def wait_for_adoption(observer: Observer, victim: Leader, at: float) -> float:
    """Seconds from the fault until nothing unfinished belongs to the victim."""
    if not observer.left_by(victim.job):
        raise RehearsalError(
            f"Nothing of scheduler job {victim.job}'s was under way: there is no adoption to see."
        )
    observer.wait_until("the survivor has adopted", lambda: not observer.left_by(victim.job), ADOPTED)
    return time.monotonic() - at


def make_whole(observer: Observer, *, controllers: bool = True, seconds: float = WHOLE) -> None:
    """Wait until every scheduler host is ready for the next fault and nothing is under way."""
    cluster = observer.cluster
    for host in cluster.schedulers:
        heal(host)
    hosts = len(cluster.schedulers)
    if controllers:
        observer.wait_until("a leader and its standbys are ready", lambda: whole(observer, hosts), seconds)
    else:
        alive = "every scheduler's job runs"
        observer.wait_until(alive, lambda: len({each.host for each in fresh(observer)}) == hosts, seconds)
    observer.wait_until("nothing is under way", observer.idle, seconds)


def whole(observer: Observer, hosts: int) -> bool:
    """Whether one leads, its scheduler's job runs, and all others are ready to."""
    return observer.standbys() >= hosts - 1 and any(_there(each) for each in observer.schedulers()[:1])


def fresh(observer: Observer) -> list[Leader]:
    """The schedulers whose process is there and that have just said so."""
    return [each for each in observer.schedulers() if observer.heartbeat_age(each.job) < 12 and _there(each)]


def _there(scheduler: Leader) -> bool:
    return bool(scheduler.host.processes(SCHEDULER_UNIT))
