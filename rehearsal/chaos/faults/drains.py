"""Ways in which a worker ends or changes, each struck at a host that runs tasks, and what became of them.

Tests and the benchmark call the same functions. A worker may end in any of these ways at any moment; no task
instance may be lost, failed or run twice for it, but for those that a Spot notice leaves no time: these run
again.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

import psycopg

from rehearsal.aws import fault_client
from rehearsal.chaos.instrumentation import parameter, put
from rehearsal.chaos.observer import Observer, Row
from rehearsal.deployment.cluster import LOAD, Host
from rehearsal.deployment.worker_group import Fleet, generations
from rehearsal.errors import RehearsalError

SPOT_SECONDS = 120
"""From a Spot notice to the end of the instance."""
DAEMON = "airkiln-lifecycle.service"
LONGEST = 300.0
"""Seconds of the longest task of the load."""
PATIENCE = LONGEST + 120
"""Seconds for a drain to end, whatever ran."""
RELOADED = "AIRFLOW__CELERY__WORKER_UMASK"
"""A parameter that only workers read; it changes nothing that a task sees."""
CHANCE = random.SystemRandom()
LENGTHS = ((1.0, 5.0, 0.55), (5.0, 20.0, 0.35), (20.0, 60.0, 0.08), (60.0, LONGEST, 0.02))
"""Tasks of the load: from, to (seconds), and their share."""

_RUNNING = """
SELECT count(*) FROM task_instance WHERE state = 'running' AND hostname = %s AND task_id <> 'sizes'
"""
"""The task that says how many there are is over in a second: a worker that runs nothing else has no load."""
_TRIES = """
SELECT t.run_id, t.task_id, t.map_index, t.state, t.try_number, coalesce(m.try_number, 0),
       count(m.*) FILTER (WHERE m.what = 'start'), count(m.*) FILTER (WHERE m.what = 'end'),
       extract(epoch FROM min(m.at))::float, extract(epoch FROM max(m.at))::float
FROM task_instance t
LEFT JOIN rehearsal.mark m ON (m.run_id, m.task_id, m.map_index) = (t.run_id, t.task_id, t.map_index)
WHERE t.run_id = ANY(%s) AND t.task_id <> 'sizes'
GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY 1, 2, 3, 6
"""
_CLEARED = """
SELECT t.run_id, t.task_id, t.map_index, extract(epoch FROM l.dttm)::float,
       (SELECT extract(epoch FROM min(m.at))::float FROM rehearsal.mark m
         WHERE (m.run_id, m.task_id, m.map_index) = (t.run_id, t.task_id, t.map_index)
           AND m.what = 'start' AND m.at > l.dttm)
FROM log l
CROSS JOIN jsonb_array_elements(l.extra::jsonb -> 'task_ids') AS named
JOIN task_instance t ON (t.run_id, t.task_id, t.map_index) =
                        (l.run_id, named ->> 0, (named ->> 1)::int)
WHERE l.event = 'post_clear_task_instances' AND l.run_id = ANY(%s)
"""
"""The REST API's own log of what it was asked."""


@dataclass
class Drained:
    """One drain."""

    kind: str
    host: str
    running: int
    """Task instances that ran there when it was struck."""
    seconds: float
    """From the strike until nothing of the worker was left (of a reload: of the older generation)."""


Strike = Callable[[Fleet, Host], None]
Name = tuple[str, str, int]
"""Of a task instance: its run, task and index."""


@dataclass(frozen=True)
class Kind:
    """One way to end a worker."""

    name: str
    strike: Strike
    over: Callable[[Fleet, Host], bool]
    """Whether it has ended."""
    restore: Strike = field(default=lambda _fleet, _host: None)
    """Have the worker take tasks again, where its host stays."""
    may_rerun: bool = False
    """Whether a task instance may be cleared, and run again."""
    says: str = ""
    """What the daemon is to say in its journal, where something goes astray."""


def gone(fleet: Fleet, host: Host) -> bool:
    """Whether its machine is no more."""
    return not (fleet.region.machines / host.name).exists()


def _scale_in(fleet: Fleet, host: Host) -> None:
    fleet.end(host, replace=False)


def _spot_notice(_: Fleet, host: Host) -> None:
    fault_client.spot_notice(host.name, SPOT_SECONDS)


def _stop(_: Fleet, host: Host) -> None:
    host.systemctl("stop", "--no-block", "airflow-worker@*.service")


def _stopped(_: Fleet, host: Host) -> bool:
    return not generations(host, "active", "deactivating", "activating", "reloading")


def _start(_: Fleet, host: Host) -> None:
    host.systemctl("start", "airflow-worker@1.service")


def _reload(_: Fleet, host: Host) -> None:
    mask = int(parameter(f"worker/{RELOADED}") or "0", 8)  # counted on: another for each of several hosts
    put({"worker": {RELOADED: f"0o{(mask + 1) % 0o1000:03o}"}})
    host.systemctl("reload", "airkiln-boot.service")


def _one_generation(_: Fleet, host: Host) -> bool:
    here = generations(host, "active", "deactivating", "activating")
    return len(here) == 1 and here == generations(host, "active")


def _power_off(_: Fleet, host: Host) -> None:
    with suppress(RehearsalError):  # the machine may be gone before it has answered
        host.machine.execute(["systemctl", "poweroff", "--no-block"], timeout=20)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("scale_in", _scale_in, gone),
        Kind("spot_notice", _spot_notice, gone, may_rerun=True),
        Kind("systemctl_stop", _stop, _stopped, _start),
        Kind("reload", _reload, _one_generation),
        Kind("host_shutdown", _power_off, gone),
    )
}
"""By name, in the order in which a campaign goes through them."""


def drain(observer: Observer, fleet: Fleet, kind: Kind, host: Host) -> Drained:
    """Strike a host and wait until its worker has ended. RehearsalError if it does not."""
    running = running_on(observer, host)
    at = time.monotonic()
    kind.strike(fleet, host)
    if kind.name == "reload":
        fleet.wait_until("another generation starts", lambda: _newest(host) > 1, 60)
    said = ""

    def over() -> bool:
        nonlocal said
        if kind.says not in said:
            said = host.journal(f"--unit={DAEMON}", lines=50)
        return kind.over(fleet, host)

    try:
        # its last words go with it
        every = 0.1 if kind.says else 0.5
        fleet.wait_until(f"{kind.name} of {host.name} is over", over, PATIENCE, every=every)
        took = time.monotonic() - at
    finally:
        kind.restore(fleet, host)
    if kind.says not in said:
        raise RehearsalError(f"{host.name} has not said {kind.says!r} while it drained, but:\n{said}")
    return Drained(kind.name, host.name, running, round(took, 3))


def _newest(host: Host) -> int:
    return max(generations(host, "active", "activating", "deactivating"), default=0)


def wait_for_load(observer: Observer, hosts: Callable[[], list[Host]]) -> Host:
    """Wait until one of the hosts runs tasks; the one that runs the most."""
    running: dict[Host, int] = {}

    def loaded() -> bool:
        running.clear()
        running.update((host, running_on(observer, host)) for host in hosts())
        return any(running.values())

    observer.wait_until("a worker runs tasks", loaded, 120)
    return max(running, key=lambda host: running[host])


def running_on(observer: Observer, host: Host) -> int:
    """Task instances that run on a host."""
    return int(observer.rows(_RUNNING, (host.address,))[0][0])


def length() -> float:
    """Seconds of one task of the load, drawn."""
    shortest, longest, _ = CHANCE.choices(LENGTHS, [share for _, _, share in LENGTHS])[0]
    return round(CHANCE.uniform(shortest, longest), 1)


@contextmanager
def load(observer: Observer, *, tasks: int, draw: Callable[[], float] = length) -> Iterator[None]:
    """About so many task instances are under way all the while."""
    over = threading.Event()

    def keep_going() -> None:
        watching = Observer(observer.cluster)
        for _ in itertools.count():
            if over.wait(0.5):
                watching.close()
                return
            with suppress(RehearsalError, psycopg.Error):
                missing = tasks - watching.under_way(LOAD)
                if missing >= 2:
                    observer.runs.append(
                        observer.cluster.airflow.start(LOAD, {"seconds": [draw() for _ in range(missing)]})
                    )

    thread = threading.Thread(target=keep_going, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)


@dataclass(frozen=True)
class Verdict:
    """What became of the load's tasks."""

    tasks: int
    problems: list[str]
    """Lost, failed or run twice."""
    reruns: list[float]
    """Of each that was cleared, seconds until it began again."""
    outlived: int = 0
    """Of those, how many had ended all the same, in the seconds until their supervisor knew."""


def verdict(observer: Observer, *, may_rerun: bool) -> Verdict:
    """Judge all runs since the last verdict, which have ended."""
    runs, observer.runs = observer.runs, []
    cleared = observer.rows(_CLEARED, (runs,))
    clearings: dict[Name, list[float]] = defaultdict(list)
    if may_rerun:
        for run, task, index, at, _ in cleared:
            clearings[run, task, index].append(at)
    found = judge(observer.rows(_TRIES, (runs,)), clearings)
    return replace(found, reruns=[began - at for *_, at, began in cleared if began is not None])


def judge(rows: list[Row], clearings: Mapping[Name, Sequence[float]]) -> Verdict:
    """How many task instances there were, and what is wrong with any.

    A row is (run, task, index, state, tries, try of the marks, starts, ends, first mark, last mark). The last
    try must have begun and ended once. An earlier one may have begun once, where the task instance was
    cleared; it may have ended only after that, before its supervisor looked. `clearings` is when, by run,
    task and index. All times are those of the epoch, in seconds.
    """
    problems = []
    count = outlived = 0
    for (run, task, index, state, tries), marks in itertools.groupby(rows, key=lambda row: row[:5]):
        count += 1
        name = f"{run} {task}[{index}]"
        by_try = {each[5]: each[6:] for each in marks}
        cleared = clearings.get((run, task, index), ())
        if state != "success":
            problems.append(f"{name}: {state}")
        if tries > 1 + len(cleared):
            problems.append(f"{name}: try {tries}, cleared {len(cleared)} times")
        for number, (starts, ends, first, last) in by_try.items():
            if (
                number not in {0, tries}
                and (starts, ends) == (1, 1)
                and any(first < at < last for at in cleared)
            ):
                outlived += 1
                continue
            wanted = [(1, 1)] if number == tries else [(1, 0), (0, 0)]
            if number and (starts, ends) not in wanted:
                problems.append(f"{name}: try {number} began {starts} times, ended {ends} times")
        if tries not in by_try:
            problems.append(f"{name}: try {tries} left no mark")
    return Verdict(count, problems, [], outlived)


def named(problems: Iterable[str]) -> set[str]:
    """The task instances of a verdict's problems, of which one may have several."""
    return {problem.rpartition(": ")[0] for problem in problems}
