"""What a scheduler host uses while nothing happens: its controller, a warm scheduler, and its statements."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from benchmarks.campaign import AIRKILN, RUNS
from benchmarks.processes import cpu, resident
from benchmarks.results import Figure, summarise
from rehearsal.chaos.checkers.statements import CONTROLLER, Entry, parse
from rehearsal.chaos.instrumentation import StatementLog
from rehearsal.chaos.observer import Observer
from rehearsal.chaos.readiness import wait_until_ready
from rehearsal.deployment.cluster import Cluster
from rehearsal.deployment.host import CONTROLLER_UNIT, SCHEDULER_UNIT, Host

WINDOW = 60.0
"""Seconds of rest that are measured."""
CHECKPOINT = RUNS.with_name("at_rest.json")


def known(path: Path = CHECKPOINT) -> list[Figure]:
    """The figures of the last checkpoint; none if there is none."""
    return [Figure(**each) for each in json.loads(path.read_text())] if path.exists() else []


def save(figures: Iterable[Figure], path: Path = CHECKPOINT) -> None:
    """Write the figures to the checkpoint, for the publication."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(each) for each in figures]) + "\n")


def measure(cluster: Cluster, seconds: float = WINDOW) -> list[Figure]:
    """Measure a ready cluster at rest: one sample per host.

    :param seconds: how long.
    """
    observer = Observer(cluster)
    wait_until_ready(observer)
    leader = observer.leader().host
    controllers = {host: host.processes(CONTROLLER_UNIT) for host in cluster.schedulers}
    before = {host: cpu(pids) for host, pids in controllers.items()}
    log, begun = StatementLog(cluster.postgres), time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - begun
    entries = parse(log.new())
    shares = [100 * (cpu(pids) - before[host]) / took for host, pids in controllers.items()]
    warm = [resident(host.processes(SCHEDULER_UNIT)) for host in cluster.schedulers if host != leader]
    statements = [counted(entries, host) / took for host in cluster.schedulers]
    observer.close()
    return [
        summarise(
            "controller_memory", AIRKILN, [*map(resident, controllers.values())], unit="MiB", budget=80
        ),
        summarise("controller_cpu", AIRKILN, shares, unit="% of a core", budget=1),
        summarise("warm_scheduler_memory", AIRKILN, warm, unit="MiB", budget=200),
        summarise("database_at_rest", AIRKILN, statements, unit="statements/s", budget=3),
    ]


def counted(entries: Iterable[Entry], host: Host) -> int:
    """Number of statements of the host's controller."""
    return sum(
        entry.user == CONTROLLER and entry.host == host.address and entry.statement is not None
        for entry in entries
    )
