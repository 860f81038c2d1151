"""When a component of Airflow is healthy: asked every 20 ms from outside, the same for units and by hand.

Times are on CLOCK_MONOTONIC, which all machines of a rehearsal share with their host, as does their systemd.
"""

from __future__ import annotations

import datetime
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg

from rehearsal.linux.machine import Machine
from rehearsal.waiting import wait_for

WEB_PORT = 8080
POLL = 0.02
"""Seconds between two questions. A refused connection, a query of a small table and reading a log cost
well under a millisecond each."""
JOURNAL_POLL = 0.5
"""Seconds between two questions that start a process in the machine. The journal has the entry's time."""
LIMIT = 120
"""Seconds after which a component counts as failed."""

JOBS = {"scheduler": "SchedulerJob", "dag-processor": "DagProcessorJob", "triggerer": "TriggererJob"}
"""Components that write their heartbeat to the table `job`, and what they are called there."""
READY_LINE = re.compile(r"\bcelery@\S+ ready\.(\s|$)")
"""What Celery logs when its consumer reads the queue (celery/apps/worker.py, on_consumer_ready)."""
UNHEALTHY_ANSWERS = (urllib.error.URLError, OSError, ValueError)

Check = Callable[[], float | None]
"""The moment from which it is so, or None."""


def watch(checks: Mapping[str, Check], pauses: Mapping[str, float], begun: float) -> dict[str, float]:
    """Seconds from `begun` until each check holds. Each is asked by a thread of its own.

    :param pauses: seconds between two questions, where they are not POLL.
    :raises RehearsalError: one does not hold within LIMIT.
    """

    def healthy(name: str, check: Check) -> float:
        left = LIMIT - (time.monotonic() - begun)
        return wait_for(f"the {name} is healthy", check, left, every=pauses.get(name, POLL)) - begun

    with ThreadPoolExecutor(max_workers=len(checks)) as pool:
        waiting = {name: pool.submit(healthy, name, check) for name, check in checks.items()}
        return {name: each.result() for name, each in waiting.items()}


def web_server(address: str) -> Check:
    """HTTP 200 from the health endpoint, which says that the metadata database is healthy."""
    url = f"http://{address}:{WEB_PORT}/api/v2/monitor/health"

    def check() -> float | None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                health = json.load(answer)
        except UNHEALTHY_ANSWERS:
            return None
        return time.monotonic() if health["metadatabase"]["status"] == "healthy" else None

    return check


def job(connection: psycopg.Connection, component: str, address: str, since: datetime.datetime) -> Check:
    """A row of the component's in the table `job`, from this host, with a heartbeat newer than `since`."""
    query = "SELECT 1 FROM job WHERE job_type = %s AND hostname = %s AND latest_heartbeat > %s LIMIT 1"

    def check() -> float | None:
        row = connection.execute(query, (JOBS[component], address, since)).fetchone()
        return None if row is None else time.monotonic()

    return check


def worker_in_journal(machine: Machine) -> Check:
    """Celery's line, at the time when the journal got it."""
    command = ["journalctl", "--unit=airflow-worker@*.service", "--output=json", "--no-pager"]

    def check() -> float | None:
        if machine.leader() is None:
            return None
        found = ready_entry(machine.execute(command, check=False).stdout.splitlines())
        return None if found is None else int(found["__MONOTONIC_TIMESTAMP"]) / 1e6

    return check


def worker_in_output(log: Path) -> Check:
    """Celery's line in the command's output."""

    def check() -> float | None:
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return time.monotonic() if any(is_ready_line(line) for line in lines) else None

    return check


def ready_entry(entries: Collection[str]) -> dict[str, str] | None:
    """The journal's entry, as JSON, with Celery's line."""
    for entry in entries:
        parsed: dict[str, str] = json.loads(entry)
        if is_ready_line(str(parsed.get("MESSAGE", ""))):
            return parsed
    return None


def is_ready_line(line: str) -> bool:
    """Whether Celery says in this line that it consumes."""
    return READY_LINE.search(line) is not None
