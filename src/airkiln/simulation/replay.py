"""A history of task instances, replayed through the product's own policy and through those of others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from airkiln.errors import RefusedError
from airkiln.simulation.history import History, Tasks
from airkiln.simulation.outcomes import DAY, HOUR, OURS, Replay, measure
from airkiln.simulation.peers import PEERS
from airkiln.simulation.policies import Airkiln, Policy
from airkiln.simulation.queueing import Machines, WorkerGroup
from airkiln.simulation.settings import Setting, Shape
from airkiln.systemd.journal import WARNING, say

TAIL: Final = HOUR
"""Seconds for which a replay goes on after the last task, for workers to end."""
GIVEN_UP: Final = 7 * DAY
"""Seconds beyond all that the tasks can take, one after the other, at which a replay ends."""


def replay(tasks: Tasks, shape: Shape, policy: Policy, *, least: int = 0) -> WorkerGroup:
    """One pool from its first task until the last has ended and the workers with it.

    :param least: workers that the policy cannot go below, whatever the shape allows.
    """
    begin = math.floor(tasks.queued_at[0] / 60.0) * 60.0  # a full minute, for those who count by them
    floor = min(max(shape.min, least), shape.max)
    workers = WorkerGroup(tasks, Machines(shape.pool.slots, floor, shape.max, shape.boot), begin)
    given_up = tasks.queued_at[-1] + sum(tasks.seconds) + GIVEN_UP
    every, now, until = policy.every, begin, math.inf
    number = 0
    while now < until:
        number += 1
        now = begin + number * every
        workers.advance(now)
        policy.act(workers)
        if workers.done:
            until = now if workers.desired == floor else min(until, now + TAIL)
        elif now > given_up:
            break
    return workers


def simulate(history: History, settings: Sequence[Setting], peers: Sequence[str]) -> list[Replay]:
    """Every pool of every setting by our policy, and those of the first setting by the peers'."""
    found: list[Replay] = []
    for number, setting in enumerate(settings):
        for shape in setting.shapes.values():
            tasks = history.of(shape.pool.queues)
            if not len(tasks):
                name = shape.pool.name
                say(f"event=no-tasks setting={setting.name} pool={name} reason=no task in its queues")
                continue
            workers = replay(tasks, shape, Airkiln(shape.pool))
            found.append(measure(setting.name, OURS, shape, tasks, workers))
            for name in peers if number == 0 else ():
                peer = PEERS[name]
                workers = replay(tasks, shape, peer.make(shape.pool, tasks), least=peer.least)
                found.append(measure(setting.name, name, shape, tasks, workers))
    if not found:
        raise RefusedError(
            [f"no pool takes a queue of the history ({', '.join(sorted(history.queues))}): correct `queues`"]
        )
    return found


def warn_of_unserved(history: History, settings: Iterable[Setting]) -> None:
    """Tell the queues that no pool takes."""
    for setting in settings:
        taken = {queue for shape in setting.shapes.values() for queue in shape.pool.queues}
        for queue in sorted(set(history.queues) - taken):
            count = len(history.queues[queue])
            say(
                f"event=left-out setting={setting.name} queue={queue} tasks={count} "
                "reason=no pool takes this queue",
                WARNING,
            )
