"""One fault in a leading scheduler host: the cluster is ready, the fault comes, the next task is queued.

The figure of each scenario is the time from the fault to the next task instance queued. Where no failover
controller runs, the same scenario measures Airflow's own way: the surviving scheduler continues by itself.
How long it takes to adopt the dead one's task instances is a second figure.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from rehearsal.chaos import workload
from rehearsal.chaos.bench import Bench
from rehearsal.chaos.checkers.tasks import check_takeover
from rehearsal.chaos.faults import database, schedulers, threads, zones
from rehearsal.chaos.faults.network import cut_from_aws
from rehearsal.chaos.faults.schedulers import Inject
from rehearsal.chaos.instrumentation import PROBE, WORKLOAD
from rehearsal.chaos.observer import Leader, Observer
from rehearsal.chaos.probe import probing
from rehearsal.chaos.readiness import is_there, wait_until_ready
from rehearsal.chaos.scenario import Need, Outcome, Scenario
from rehearsal.deployment.cluster import Cluster
from rehearsal.deployment.host import CONTROLLER_UNIT, SCHEDULER_UNIT, Host
from rehearsal.errors import RehearsalError

PATIENCE = 60.0
"""Seconds to wait for the next task instance to be queued, whatever the budget is."""
FINISHED = 90.0
"""Seconds for the tasks to end."""
ADOPTED = 400.0
"""Seconds for a scheduler at Airflow's defaults to adopt: a heartbeat 30 s old, checked every 300 s."""
ATTEMPTS = 5


def take_over(bench: Bench, inject: Inject, *, successor: bool = True) -> Outcome:
    """Inject a fault once, on a cluster with failover controllers.

    :param successor: whether another scheduler process must queue the next task instance.
    :raises RehearsalError: the cluster was not ready, or nothing was queued.
    """
    observer = bench.observer
    leader = leader_under_load(bench)
    with inject(observer.cluster, leader.host) as at, probing(observer) as wait:
        began = time.time() - (time.monotonic() - at)
        moment = wait(PATIENCE, lambda job: job > leader.job or not successor)
    takeover = time.time() - (time.monotonic() - moment)
    observer.wait_until_idle(FINISHED)
    return Outcome(began, check_takeover(observer, takeover), moment - at)


def leader_under_load(bench: Bench) -> Leader:
    """The leader of a ready cluster with tasks under way; tries again if it stops leading meanwhile."""
    observer = bench.observer
    for _ in range(ATTEMPTS):
        wait_until_ready(observer)
        leader = observer.leader()
        workload.start(observer)
        observer.wait_until("the workload runs", lambda: not observer.idle(), 30)
        time.sleep(bench.random.uniform(1.0, 3.0))  # so that the fault comes at any moment of any loop
        if observer.schedulers()[:1] == [leader] and is_there(leader):
            return leader
    raise RehearsalError(
        f"No scheduler led for a few seconds in {ATTEMPTS} attempts: is the machine overloaded?"
    )


def survive(bench: Bench, inject: Inject, *, successor: bool = True, adoption: bool = False) -> Outcome:
    """Inject a fault into one of two active schedulers, on a cluster without failover controllers.

    :param adoption: wait for the adoption too, which takes minutes, with tasks that run meanwhile.
    """
    observer = bench.observer
    wait_until_ready(observer, controllers=False)
    run = workload.start(observer, tasks=2, seconds=ADOPTED if adoption else 4)
    observer.wait_until("the workload runs", lambda: not observer.idle(), 30)
    time.sleep(bench.random.uniform(6.0, 12.0))
    victim = max(observer.schedulers(), key=lambda each: (observer.left_by(each.job), each.job))
    figures = {}
    with inject(observer.cluster, victim.host) as at, probing(observer) as wait:
        began = time.time() - (time.monotonic() - at)
        moment = wait(PATIENCE, lambda job: job != victim.job or not successor)
        if adoption:
            figures["adopted"] = [wait_for_adoption(observer, victim, at)]
            observer.cluster.airflow.end(WORKLOAD, run)
            observer.runs.remove(run)
    takeover = time.time() - (time.monotonic() - moment)
    observer.wait_until_idle(FINISHED)
    return Outcome(began, check_takeover(observer, takeover), moment - at, figures)


def wait_for_adoption(observer: Observer, victim: Leader, at: float) -> float:
    """Seconds from the fault until no unfinished task instance belongs to the victim."""
    if not observer.left_by(victim.job):
        raise RehearsalError(
            f"No task instance of scheduler job {victim.job} was under way: there is no adoption to observe."
        )
    observer.wait_until("the survivor has adopted", lambda: not observer.left_by(victim.job), ADOPTED)
    return time.monotonic() - at


def _after(inject: Inject, *, successor: bool = True) -> Callable[[Bench], Outcome]:
    """Returns a scenario's body, which measures with or without controllers, as the bench has it."""

    def body(bench: Bench) -> Outcome:
        return (take_over if bench.controllers else survive)(bench, inject, successor=successor)

    return body


def _killed_before_sending(bench: Bench) -> Outcome:
    @contextmanager
    def inject(_: Cluster, leader: Host) -> Iterator[float]:
        job = bench.observer.leader().job
        with cut_from_aws(leader):
            run = bench.observer.start(PROBE)
            bench.observer.wait_until(
                f"{run} is queued", lambda: bool(bench.observer.rows(_QUEUED_BY, (run, job))), 20, every=0.005
            )
            at = time.monotonic()
            os.kill(leader.main_process(SCHEDULER_UNIT), signal.SIGKILL)
        yield at

    return take_over(bench, inject)


_QUEUED_BY = "SELECT 1 FROM task_instance WHERE run_id = %s AND state = 'queued' AND queued_by_job_id = %s"


_NEEDS = frozenset({Need.STANDBY, Need.OWN_WORKER})
_CONTROLLED = _NEEDS | {Need.CONTROLLERS}
_KILL_SCHEDULER = schedulers.kill(SCHEDULER_UNIT, signal.SIGKILL)
_STOP_SCHEDULER = schedulers.kill(SCHEDULER_UNIT, signal.SIGSTOP)
_KILL_CONTROLLER = schedulers.kill(CONTROLLER_UNIT, signal.SIGKILL)
_STOP_CONTROLLER = schedulers.kill(CONTROLLER_UNIT, signal.SIGSTOP)
_PARTITION = schedulers.partition(towards=True, back=True)
_PARTITION_IN = schedulers.partition(towards=False, back=True)
_PARTITION_OUT = schedulers.partition(towards=True, back=False)

SINGLE = (
    Scenario("scheduler_sigkill", "The scheduler is killed.", _after(_KILL_SCHEDULER), 1.2, _NEEDS),
    Scenario(
        "switchover",
        "`airkiln failover switchover` on the leader; the start of the command counts.",
        _after(schedulers.switch_over),
        1.2,
        _CONTROLLED,
    ),
    Scenario(
        "controller_sigkill",
        "The leader's controller is killed.",
        _after(_KILL_CONTROLLER),
        2.0,
        _CONTROLLED,
    ),
    Scenario("host_killed", "The leader's host loses its power.", _after(schedulers.kill_host), 6.0, _NEEDS),
    Scenario(
        "partition_both",
        "Packets between leader and database are dropped, in both directions.",
        _after(_PARTITION),
        6.0,
        _NEEDS,
    ),
    Scenario(
        "database_restart",
        "PostgreSQL restarts; counted from the first connection that it accepts.",
        _after(database.restart, successor=False),
        5.0,
        _NEEDS,
    ),
    Scenario(
        "controller_sigstop",
        "The leader's controller is stopped.",
        _after(_STOP_CONTROLLER),
        6.0,
        _CONTROLLED,
    ),
    Scenario("scheduler_sigstop", "The scheduler is stopped.", _after(_STOP_SCHEDULER), 15.0, _NEEDS),
    Scenario(
        "scheduler_hangs",
        "The scheduler's main thread hangs, while another of its threads computes.",
        _after(threads.send(threads.HANG)),
        15.0,
        _CONTROLLED,
    ),
    Scenario(
        "blocking_lock",
        "An idle transaction holds the scheduler's locks.",
        _after(database.blocking_lock, successor=False),
        15.0,
        _NEEDS,
    ),
    Scenario(
        "partition_in",
        "Packets from the database to the leader are dropped.",
        _after(_PARTITION_IN),
        6.0,
        _NEEDS,
    ),
    Scenario(
        "partition_out",
        "Packets from the leader to the database are dropped.",
        _after(_PARTITION_OUT),
        6.0,
        _NEEDS,
    ),
    Scenario(
        "scheduler_sigkill_no_standby",
        "The scheduler is killed while no other host can take over.",
        _after(schedulers.kill_without_standby),
        6.0,
        _CONTROLLED,
    ),
)
"""One fault each, in the order of a campaign."""

ADOPTION = tuple(
    Scenario(
        f"{name}_adoption",
        f"{description} Without controllers, until its task instances are adopted too.",
        partial(survive, inject=inject, adoption=True),
        needs=_NEEDS | {Need.NO_CONTROLLERS},
    )
    for name, inject, description in (
        ("scheduler_sigkill", _KILL_SCHEDULER, "A scheduler is killed."),
        ("host_killed", schedulers.kill_host, "A scheduler's host loses its power."),
    )
)
"""What Airflow does by itself, at its defaults."""

KILLED_BEFORE_SENDING = Scenario(
    "killed_before_sending",
    "The scheduler is killed between committing a task instance as queued and sending it to the broker.",
    _killed_before_sending,
    1.2,
    _CONTROLLED,
)
ZONE_LOST = Scenario(
    "zone_lost",
    "The zone of the leader's host is cut off from the rest; each scheduler host has a zone of its own.",
    _after(zones.cut_off_zone_of_leader),
    6.0,
    _CONTROLLED,
)
SCENARIOS = (*SINGLE, KILLED_BEFORE_SENDING, ZONE_LOST, *ADOPTION)
