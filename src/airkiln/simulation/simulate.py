"""`airkiln autoscale simulate`: what a history of task instances would have waited, and its workers cost.

The history is replayed through the product's own `decide` with each of several settings, and beside the first
of them by the policies of others. Nothing but the files in --output is written, and they only at the end.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from airkiln.errors import AirkilnError, RefusedError
from airkiln.simulation import history as histories
from airkiln.simulation.history import History, Tasks
from airkiln.simulation.peers import PEERS
from airkiln.simulation.policies import Airkiln, Policy
from airkiln.simulation.queueing import Fleet, Machines
from airkiln.simulation.settings import Setting, Shape, read_all
from airkiln.systemd.journal import WARNING, say

OURS: Final = "airkiln"
HOUR, DAY = 3600.0, 86400.0
MONTH: Final = 730 * HOUR
TAIL: Final = HOUR
"""Seconds for which a replay goes on after the last task, for workers to end."""
GIVEN_UP: Final = 7 * DAY
"""Seconds beyond all that the tasks can take, one after the other, at which a replay ends."""


@dataclass(frozen=True)
class Outcome:
    """What came of one policy for one pool. Waiting times are in seconds."""

    setting: str
    policy: str
    pool: str
    tasks: int
    unserved: int
    """Tasks that never began."""
    wait_p50: float
    wait_p95: float
    wait_max: float
    worker_hours: float
    monthly_cost: float | None
    """If every month were like the history; None without a price."""
    changes_per_day: float
    """Times that the desired capacity was set anew."""
    flaps: int
    """Times that it shrank less than the pool's cool-down after it grew."""
    regrown: int
    """Times that it grew less than the cool-down after it shrank."""
    workers_max: int


@dataclass(frozen=True)
class Replay:
    """An outcome, and how it came."""

    outcome: Outcome
    changes: tuple[tuple[float, int], ...]
    """Since when there were how many workers desired, in seconds since the epoch."""
    end: float


def replay(tasks: Tasks, shape: Shape, policy: Policy, *, least: int = 0) -> Fleet:
    """One pool from its first task until the last has ended and the workers with it.

    :param least: workers that the policy cannot go below, whatever the shape allows.
    """
    begin = math.floor(tasks.queued_at[0] / 60.0) * 60.0  # a full minute, for those who count by them
    floor = min(max(shape.min, least), shape.max)
    fleet = Fleet(tasks, Machines(shape.pool.slots, floor, shape.max, shape.boot), begin)
    given_up = tasks.queued_at[-1] + sum(tasks.seconds) + GIVEN_UP
    every, now, until = policy.every, begin, math.inf
    number = 0
    while now < until:
        number += 1
        now = begin + number * every
        fleet.advance(now)
        policy.look(fleet)
        if fleet.done:
            until = now if fleet.desired == floor else min(until, now + TAIL)
        elif now > given_up:
            break
    return fleet


def measure(setting: str, policy: str, shape: Shape, tasks: Tasks, fleet: Fleet) -> Replay:
    """The outcome of a replay."""
    begin = fleet.changes[0][0]
    span = max(map(float.__add__, tasks.queued_at, tasks.seconds)) - begin
    hours = fleet.cost() / HOUR
    started = len(tasks) - fleet.unserved
    p50, p95, most = percentiles(fleet.waits, started, (50, 95, 100))
    flaps, regrown = turns(fleet.changes, shape.pool.cooldown)
    per_month = None if shape.price is None else hours * shape.price * MONTH / max(span, HOUR)
    outcome = Outcome(
        setting=setting,
        policy=policy,
        pool=shape.pool.name,
        tasks=len(tasks),
        unserved=fleet.unserved,
        wait_p50=round(p50, 1),
        wait_p95=round(p95, 1),
        wait_max=round(most, 1),
        worker_hours=round(hours, 2),
        monthly_cost=None if per_month is None else round(per_month, 2),
        changes_per_day=round((len(fleet.changes) - 1) / max(span / DAY, 1 / 24), 2),
        flaps=flaps,
        regrown=regrown,
        workers_max=max(count for _since, count in fleet.changes),
    )
    return Replay(outcome, tuple(fleet.changes), fleet.now)


def percentiles(waits: array[float], count: int, percents: Iterable[float]) -> list[float]:
    """Nearest rank among `count` tasks of which those in `waits` waited and the others did not."""
    ordered = sorted(waits)
    ranks = [max(0, math.ceil(count * percent / 100) - 1) - (count - len(ordered)) for percent in percents]
    return [ordered[rank] if 0 <= rank < len(ordered) else 0.0 for rank in ranks]


def turns(changes: Iterable[tuple[float, int]], within: float) -> tuple[int, int]:
    """How often the desired capacity fell less than `within` seconds after it rose, and rose so soon after it
    fell."""
    steps = [(since, after > before) for (_, before), (since, after) in pairwise(changes)]
    soon = [
        rose
        for (before, other), (after, rose) in pairwise(steps)
        if rose != other and after - before < within
    ]
    return len(soon) - sum(soon), sum(soon)


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
            fleet = replay(tasks, shape, Airkiln(shape.pool))
            found.append(measure(setting.name, OURS, shape, tasks, fleet))
            for name in peers if number == 0 else ():
                peer = PEERS[name]
                fleet = replay(tasks, shape, peer.make(shape.pool, tasks), least=peer.least)
                found.append(measure(setting.name, name, shape, tasks, fleet))
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


def run(options: argparse.Namespace) -> None:
    """The command."""
    settings = read_all(options.settings)
    since = histories.FIRST if options.since is None else _moment(options.since)
    history = _from_database(since) if options.database else histories.read_csv(options.history, since)
    warn_of_unserved(history, settings)
    replays = simulate(history, settings, options.peers)
    outcomes = [each.outcome for each in replays]
    content = json.dumps({"outcomes": [asdict(each) for each in outcomes]}, indent=2) + "\n"
    if options.output is not None:
        from airkiln.simulation.chart import draw  # noqa: PLC0415 - the table does without it

        _write(
            options.output, {"simulation.json": content, "simulation.svg": draw(history, settings, replays)}
        )
    sys.stdout.write(content if options.json else table(outcomes))


def table(outcomes: Iterable[Outcome]) -> str:
    """The outcomes for a person: a line each."""
    rows = [
        (
            "pool", "setting", "policy", "tasks", "wait p50", "p95", "max", "worker hours", "a month",
            "changes a day", "flaps", "regrown", "most workers",
        )
    ]  # fmt: skip
    rows += [
        (
            each.pool,
            each.setting,
            each.policy,
            str(each.tasks),
            _seconds(each.wait_p50),
            _seconds(each.wait_p95),
            _seconds(each.wait_max) if not each.unserved else f"{each.unserved} never",
            f"{each.worker_hours:.1f}",
            "-" if each.monthly_cost is None else f"{each.monthly_cost:.2f}",
            f"{each.changes_per_day:.1f}",
            str(each.flaps),
            str(each.regrown),
            str(each.workers_max),
        )
        for each in outcomes
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, ""])


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value < 10000 else f"{value / HOUR:.1f} h"


def _moment(text: str) -> float:
    try:
        return histories.moment(text)
    except (ValueError, OverflowError):
        raise RefusedError(
            [f"--since: {text!r} is no time: write such as 2026-11-21T07:30:00Z, or seconds since 1970"]
        ) from None


def _from_database(since: float) -> History:
    import psycopg  # noqa: PLC0415 - a file does without it

    from airkiln.database.connect import connect, explain  # noqa: PLC0415
    from airkiln.failover import runtime as place  # noqa: PLC0415
    from airkiln.host.layout import Layout  # noqa: PLC0415

    keywords = place.keywords(place.environment(Layout()))
    try:
        with connect(keywords) as connection:
            return histories.read_database(connection, since)
    except psycopg.Error as error:
        raise explain(error, keywords) from None


def _write(folder: Path, files: dict[str, Any]) -> None:
    """All of them, each whole."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            fresh = folder / f".{name}.new"
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(folder / name)
    except OSError as error:
        raise AirkilnError(
            f"{error.filename}: cannot be written ({error.strerror}): choose another --output"
        ) from None
