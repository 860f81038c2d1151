"""A database that is away for minutes, or takes seconds over every login."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from rehearsal.chaos import workload
from rehearsal.chaos.bench import Bench
from rehearsal.chaos.checkers.statements import CONTROLLER
from rehearsal.chaos.faults.database import end_sessions, first_connection, slow_logins, stopped
from rehearsal.chaos.faults.network import frozen
from rehearsal.chaos.faults.queue import messages
from rehearsal.chaos.instrumentation import PROBE
from rehearsal.chaos.observer import Observer
from rehearsal.chaos.probe import probing
from rehearsal.chaos.readiness import wait_until_ready
from rehearsal.chaos.scenario import Need, Outcome, Scenario
from rehearsal.chaos.scenarios.frozen import check_when_idle
from rehearsal.chaos.scenarios.takeover import PATIENCE
from rehearsal.deployment.cluster import Cluster

RESTARTS = 2
"""How often a unit may restart while the database is away: each waits for the database within one start."""
QUIET_LINES, QUIET_RATE = 300, 0.5
"""Lines that a host's units may log when the database goes and comes, and per second in between. On a leader
four components end and start, each with about fifty lines."""
TRACEBACK = "Traceback (most recent call last)"
_RUNNING = "SELECT count(DISTINCT run_id) FROM rehearsal.mark WHERE what = 'start' AND run_id = ANY(%s)"


def _database_away(bench: Bench, seconds: float) -> Outcome:
    observer, cluster, began = bench.observer, bench.cluster, time.time()
    wait_until_ready(observer)
    since = time.time()
    for length in (seconds / 3, seconds + 15):
        workload.start(observer, seconds=length)
    observer.wait_until(
        "both tasks run", lambda: int(observer.rows(_RUNNING, (observer.runs,))[0][0]) == 2, 60
    )
    before = restarts(cluster)
    with ExitStack() as outage:
        with _queued_and_not_received(observer):
            outage.enter_context(stopped(cluster.postgres))
        observer.close()
        time.sleep(seconds)
    back = first_connection(30)
    with probing(observer) as wait:
        resumed = wait(PATIENCE, lambda _: True) - back
    problems = check_when_idle(observer)
    for name, count in restarts(cluster).items():
        if (more := count - before.get(name, 0)) > RESTARTS:
            problems.append(f"{name} restarted {more} times within {seconds:g} s")
    problems += noise(cluster, since, time.time() - since)
    return Outcome(began, problems, resumed)


def _slow_logins(bench: Bench, seconds: int) -> Outcome:
    observer, cluster, began = bench.observer, bench.cluster, time.time()
    wait_until_ready(observer)
    leader = observer.leader()
    workload.start(observer, tasks=2, seconds=5.0)
    with slow_logins(cluster.postgres, seconds):
        for host in cluster.schedulers:
            end_sessions(cluster.postgres, host, CONTROLLER)
        observer.wait_until("another scheduler leads", lambda: observer.leads_after(leader.job), PATIENCE)
    return Outcome(began, check_when_idle(observer))


@contextmanager
def _queued_and_not_received(observer: Observer) -> Iterator[None]:
    """A task's message is in the queue while the worker is frozen, and is received after the block."""
    with frozen(observer.cluster.own_worker):
        before = messages()
        run = observer.start(PROBE)
        observer.wait_until(f"{run} is in the queue", lambda: messages() > before, 20)
        yield


def restarts(cluster: Cluster) -> dict[str, int]:
    """How often systemd restarted each of Airkiln's and Airflow's units by itself, by host and unit."""
    found = {}
    for host in cluster.hosts:
        shown = host.systemctl("show", "airflow-*.service", "airkiln-*.service", "--property=Id,NRestarts")
        for unit in shown.split("\n\n"):
            values = dict(line.partition("=")[::2] for line in unit.splitlines())
            found[f"{host.name} {values['Id']}"] = int(values["NRestarts"])
    return found


def noise(cluster: Cluster, since: float, seconds: float) -> list[str]:
    """Hosts whose units logged more than a person can read, or a traceback.

    :param since: in seconds since 1970.
    :param seconds: how long ago that was.
    """
    problems = []
    for host in cluster.hosts:
        journal = host.journal(f"--since=@{since:.0f}", "--output=cat", lines=100_000).splitlines()
        lines = [line for line in journal if "http.access" not in line]
        if len(lines) > QUIET_LINES + QUIET_RATE * seconds:
            problems.append(f"{host.name} wrote {len(lines)} lines to its journal within {seconds:.0f} s")
        if traces := sum(TRACEBACK in line for line in lines):
            problems.append(f"{host.name} wrote {traces} tracebacks to its journal")
    return problems


_NEEDS = frozenset({Need.CONTROLLERS, Need.STANDBY, Need.OWN_WORKER})
_AWAY = "PostgreSQL is away for {}; from its first connection until the next task is queued."
DATABASE_AWAY = Scenario(
    "database_away", _AWAY.format("ten minutes"), partial(_database_away, seconds=600), 5.0, _NEEDS
)
DATABASE_AWAY_BRIEFLY = Scenario(
    "database_away_briefly", _AWAY.format("a minute"), partial(_database_away, seconds=60), 5.0, _NEEDS
)
SCENARIOS = (
    DATABASE_AWAY,
    DATABASE_AWAY_BRIEFLY,
    Scenario(
        "slow_logins",
        "PostgreSQL takes 2 s over each login when every controller has to log in again.",
        partial(_slow_logins, seconds=2),
        needs=_NEEDS,
    ),
)
