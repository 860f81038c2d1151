"""A pool that follows its demand: from zero, from one worker, and back to zero.

What changes the group's capacity is the leader's `airkiln autoscale` alone.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import partial

from rehearsal.chaos.bench import Bench
from rehearsal.chaos.checkers.tasks import check_drain
from rehearsal.chaos.instrumentation import PROBE
from rehearsal.chaos.observer import Observer
from rehearsal.chaos.readiness import wait_until_ready
from rehearsal.chaos.scenario import Need, Outcome, Scenario
from rehearsal.deployment.parameters import put
from rehearsal.deployment.worker_group import POLL, WorkerGroup
from rehearsal.errors import RehearsalError
from rehearsal.waiting import wait_until

SLOTS = 4
COOLDOWN = 30.0
"""Seconds of the pool's cool-down in these scenarios."""
CYCLE = 10.0
"""Seconds between two decisions of `airkiln autoscale`."""
DECIDED, RUNNING = 60.0, 180.0
"""Seconds to wait for a decision and for a running task, whatever the budgets are."""
FILLS = 75.0
"""Seconds of the tasks that keep one worker full while the next one boots."""
LASTS = 50.0
"""Seconds of tasks beside a worker of the cluster's own, which is full until the group's one serves."""
MAXIMUM = 3
"""Workers of the group at most."""

_QUEUED = """
SELECT extract(epoch FROM min(queued_dttm))::float FROM task_instance WHERE run_id = ANY(%s)
"""
_BEGAN = """
SELECT extract(epoch FROM min(m.at))::float
FROM rehearsal.mark m JOIN task_instance t USING (run_id, task_id, map_index)
WHERE m.what = 'start' AND m.run_id = ANY(%s) AND t.hostname <> ALL(%s)
"""
_ENDED = (
    "SELECT extract(epoch FROM max(at))::float FROM rehearsal.mark WHERE what = 'end' AND run_id = ANY(%s)"
)


@dataclass(frozen=True)
class ScaleOut:
    """What more demand led to, in seconds since its first task instance was queued."""

    decided: float
    """Until the group's desired capacity was raised."""
    running: float
    """Until a task ran on a new worker."""


def configure_pool(cooldown: float = COOLDOWN) -> None:
    """Set the one pool's slots and cool-down, for hosts that boot afterwards. In the region's network."""
    put({"common": {"AIRKILN_POOLS": json.dumps({"default": {"slots": SLOTS, "cooldown": cooldown}})}})


def scale_out(observer: Observer, group: WorkerGroup, *, tasks: int, seconds: float) -> ScaleOut:
    """Start more tasks than there are slots, and wait until one runs on a new worker.

    :param seconds: how long each task takes.
    """
    desired = group.desired()
    known = [host.address for host in (*group.hosts(), observer.cluster.worker) if host]
    runs = [observer.start(PROBE, seconds=seconds) for _ in range(tasks)]
    wait_until("more workers are wanted", lambda: group.desired() > desired, DECIDED, every=0.2)
    decided = time.time()
    queued = _number(observer, _QUEUED, runs)
    if queued is None:
        raise RehearsalError("The capacity was raised, but none of the tasks has been queued.")

    def began() -> float | None:
        return _number(observer, _BEGAN, runs, known)

    observer.wait_until("a task runs on a new worker", lambda: began() is not None, RUNNING)
    return ScaleOut(decided - queued, (began() or 0.0) - queued)


def scale_in(observer: Observer, group: WorkerGroup, *, cooldown: float = COOLDOWN) -> float:
    """Wait until every task has ended and no worker is left.

    :returns: seconds from the end of the last task until no worker was wanted.
    """
    observer.wait_until_idle(RUNNING)
    ended = _number(observer, _ENDED, observer.runs) or time.time()
    wait_until("no worker is wanted", lambda: group.desired() == 0, 3 * cooldown + DECIDED, every=0.2)
    unwanted = time.time()
    wait_until("every worker has gone", lambda: not group.members(), RUNNING, every=POLL)
    return unwanted - ended


def _from_zero(bench: Bench) -> Outcome:
    began = time.time()
    wait_until_ready(bench.observer)
    scaled = scale_out(bench.observer, bench.worker_group, tasks=2 * SLOTS, seconds=LASTS)
    bench.observer.wait_until_idle(RUNNING)
    report = check_drain(bench.observer, may_rerun=False)
    if report.tasks != 2 * SLOTS:
        report.problems.append(f"{report.tasks} task instances, not {2 * SLOTS}")
    return Outcome(began, report.problems, scaled.running, {"decided": [scaled.decided]}, report.tasks)


def _out_and_in(bench: Bench, *, leader_lost: bool) -> Outcome:
    observer, group, began = bench.observer, bench.worker_group, time.time()
    wait_until_ready(observer)
    wait_until("no worker is left", lambda: not group.desired() and not group.members(), 300, every=POLL)
    time.sleep(bench.random.uniform(0, CYCLE))  # so that demand comes at any moment of a cycle
    zero = scale_out(observer, group, tasks=1, seconds=FILLS)
    one = scale_out(observer, group, tasks=2 * SLOTS - 1, seconds=FILLS)
    if leader_lost:
        _lose_leader(observer, group)
    back = scale_in(observer, group)
    report = check_drain(observer, may_rerun=False)
    figures = {
        "zero_decided": [zero.decided],
        "zero_running": [zero.running],
        "one_decided": [one.decided],
        "one_running": [one.running],
    }
    return Outcome(began, report.problems, back, figures, report.tasks)


def _lose_leader(observer: Observer, group: WorkerGroup) -> None:
    """Cut the power of the leader's host as soon as one worker was told to end; it boots again."""
    leader, wanted = observer.leader(), group.desired()
    observer.wait_until_idle(RUNNING)
    wait_until("fewer workers are wanted", lambda: group.desired() < wanted, 3 * COOLDOWN, every=0.2)
    leader.host.cut_power()
    observer.wait_until("another scheduler leads", lambda: observer.leads_after(leader.job), 60)
    leader.host.power_on()


def _number(observer: Observer, query: str, *names: list[str]) -> float | None:
    found = observer.rows(query, names)[0][0]
    return None if found is None else float(found)


_NEEDS = frozenset({Need.CONTROLLERS, Need.WORKER_GROUP})
_ALONE = _NEEDS | {Need.NO_OWN_WORKER, Need.STANDBY}
SCENARIOS = (
    Scenario(
        "scale_out_from_zero",
        "More tasks than the cluster's own worker has slots; until one runs on a worker of the group.",
        _from_zero,
        needs=_NEEDS | {Need.OWN_WORKER},
        group=(0, 1),
    ),
    Scenario(
        "scale_out_and_in",
        "From zero, from one worker, and back; from the end of the last task until no worker is wanted.",
        partial(_out_and_in, leader_lost=False),
        COOLDOWN + CYCLE,
        _ALONE,
        (0, MAXIMUM),
    ),
    Scenario(
        "scale_in_leader_lost",
        "The same, where the leader's host loses its power as soon as the first worker was told to end.",
        partial(_out_and_in, leader_lost=True),
        needs=_ALONE,
        group=(0, MAXIMUM),
    ),
)
