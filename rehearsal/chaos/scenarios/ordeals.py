"""Faults that take more than one blow: killed before sending, frozen across takeovers and in a login, skewed
clocks, a database that is away for minutes.

Each ends with the same verdict on the tasks as any other; PostgreSQL's log is for the caller to check.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rehearsal.aws.client import client
from rehearsal.chaos.checkers.statements import CONTROLLER, moment
from rehearsal.chaos.faults.clocks import skewed
from rehearsal.chaos.faults.network import cut_from_aws, freeze, frozen, thaw
from rehearsal.chaos.faults.schedulers import DATABASE_UNIT, Fault, first_connection
from rehearsal.chaos.instrumentation import StatementLog
from rehearsal.chaos.observer import Observer, background
from rehearsal.chaos.scenarios.takeover import FINISHED, PATIENCE, Trial, make_whole, trial
from rehearsal.deployment import parameters
from rehearsal.deployment.cluster import LOAD, PROBE, SCHEDULER_UNIT, Cluster, Host
from rehearsal.deployment.postgres import Postgres
from rehearsal.errors import RehearsalError

QUEUED_BY = "SELECT 1 FROM task_instance WHERE run_id = %s AND state = 'queued' AND queued_by_job_id = %s"
END_SESSIONS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE usename LIKE '{role}' AND client_addr = '{address}';
"""
FENCED = "airflow\\_scheduler\\_%"
RESTARTS = 2
"""Times that a unit may restart while the database is away: each waits for it then, within one start."""
QUIET_LINES, QUIET_RATE = 300, 0.5
"""Lines that a host's units may write when the database goes and comes, and each second in between. Where a
scheduler leads, four components end and start, each with fifty lines or so."""
TRACEBACK = "Traceback (most recent call last)"


def killed_before_sending(observer: Observer) -> Fault:
    """The scheduler dies when it has committed an instance as queued, and has not sent it to the broker."""

    @contextmanager
    def strike(_: Cluster, leader: Host) -> Iterator[float]:
        job = observer.leader().job
        with cut_from_aws(leader):
            run = observer.start(PROBE)
            deadline = time.monotonic() + 20
            while not observer.rows(QUEUED_BY, (run, job)):
                if time.monotonic() > deadline:
                    raise RehearsalError(f"{run} has not been queued within 20 s.")
                time.sleep(0.005)
            at = time.monotonic()
            os.kill(leader.main_process(SCHEDULER_UNIT), signal.SIGKILL)
        yield at

    return Fault("killed_before_sending", strike, 1.2)


@contextmanager
def _frozen(_: Cluster, leader: Host) -> Iterator[float]:
    at = time.monotonic()
    with frozen(leader):
        yield at


FROZEN = Fault("frozen", _frozen, 6.0)
"""The whole host stands still until somebody else has taken over, and then goes on."""


def frozen_across_two(observer: Observer) -> list[str]:
    """The host that led stands still while its successor takes over and is itself succeeded; the verdict."""
    make_whole(observer)
    first = observer.leader()
    background(observer)
    with frozen(first.host):
        _next_after(observer, first.job)
        second = observer.leader()
        os.kill(second.host.main_process(SCHEDULER_UNIT), signal.SIGKILL)
        _next_after(observer, second.job)
    return _judged(observer)


def frozen_in_login(observer: Observer) -> tuple[list[str], int]:
    """The leader's sessions end, and it is frozen while it logs in again.

    Returns the verdict, and how many logins had begun and not ended when the host stood still.
    """
    make_whole(observer)
    leader = observer.leader()
    background(observer)
    log = StatementLog(observer.cluster.postgres)
    freeze_in_login(observer.cluster.postgres, leader.host)
    at = time.time()
    try:
        _next_after(observer, leader.job)
    finally:
        thaw(leader.host)
    return _judged(observer), half_open(log.new(), leader.host.address, at)


def freeze_in_login(postgres: Postgres, host: Host, role: str = FENCED, seconds: float = 30) -> None:
    """End the sessions that the host has as a role, and freeze it as soon as it connects again."""
    log = StatementLog(postgres)
    postgres.sql(END_SESSIONS.format(address=host.address, role=role))
    deadline = time.monotonic() + seconds
    while not any(_received(record, host.address) for record in log.new()):
        if time.monotonic() > deadline:
            raise RehearsalError(f"{host.name} has not connected again within {seconds:g} s.")
        time.sleep(0.001)
    freeze(host)


def _received(record: Mapping[str, Any], address: str) -> bool:
    message = str(record.get("message", ""))
    return message.startswith("connection received:") and f"host={address} " in message


def half_open(records: Sequence[Mapping[str, Any]], address: str, at: float) -> int:
    """Logins from an address that had been received by then and not authorized before."""
    received: set[str] = set()
    for record in records:
        if moment(str(record["timestamp"])) > at:
            continue
        message, session = str(record.get("message", "")), str(record.get("session_id", ""))
        if _received(record, address):
            received.add(session)
        elif (
            message.startswith(("connection authorized:", "disconnection:"))
            or record.get("error_severity") == "FATAL"
        ):
            received.discard(session)
    return len(received)


def skewed_while_idle(observer: Observer, seconds: float) -> list[str]:
    """The leader's clock is wrong by so much while no task runs: it is succeeded, and succeeds; the verdict.

    With tasks under way Airflow itself refuses tokens from 10 s on.
    """
    make_whole(observer)
    found = []
    with skewed(observer.leader().host, seconds):
        for _ in range(2):
            make_whole(observer)
            before = observer.leader()
            os.kill(before.host.main_process(SCHEDULER_UNIT), signal.SIGKILL)
            _wait_for_successor(observer, before.job)
            if (leader := observer.leader()).host == before.host:
                found.append(f"{leader.host.name} leads again, and the standby does not")
    make_whole(observer)
    return found


def database_away(observer: Observer, seconds: float) -> tuple[list[str], float]:
    """The database is down for so long while tasks run, end and are received; the verdict, and how soon work
    resumed.

    The verdict names as well what restarted again and again, and journals that nobody could read.
    """
    make_whole(observer)
    cluster, began = observer.cluster, time.time()
    for length in (seconds / 3, seconds + 15):
        observer.start(LOAD, tasks=1, seconds=length)
    observer.wait_until("both tasks run", lambda: _running(observer) == 2, 60)
    before = restarts(cluster)
    server = cluster.postgres.machine
    with _queued_and_not_received(observer):
        server.execute(["systemctl", "stop", DATABASE_UNIT])
    try:
        observer.close()
        time.sleep(seconds)
    finally:
        server.execute(["systemctl", "start", "--no-block", DATABASE_UNIT])
    back = first_connection(30)
    with observer.probing() as wait:
        resumed = wait(PATIENCE, lambda _: True) - back
    problems = _judged(observer)
    for name, count in restarts(cluster).items():
        if (more := count - before.get(name, 0)) > RESTARTS:
            problems.append(f"{name} restarted {more} times within {seconds:g} s")
    passed = time.time() - began
    for host, lines in journals(cluster, began).items():
        if len(lines) > QUIET_LINES + QUIET_RATE * passed:
            problems.append(f"{host} wrote {len(lines)} lines to its journal within {passed:.0f} s")
        if traces := sum(TRACEBACK in line for line in lines):
            problems.append(f"{host} wrote {traces} tracebacks to its journal")
    return problems, resumed


def slow_to_let_in(observer: Observer, seconds: int) -> list[str]:
    """The database takes so long over each login when every controller has to log in again; the verdict."""
    make_whole(observer)
    cluster, leader = observer.cluster, observer.leader()
    observer.start(LOAD, tasks=2, seconds=5.0)
    with _logins_take(cluster.postgres, seconds):
        for host in cluster.schedulers:
            cluster.postgres.sql(END_SESSIONS.format(address=host.address, role=CONTROLLER))
        _wait_for_successor(observer, leader.job)
    return _judged(observer)


@contextmanager
def _logins_take(postgres: Postgres, seconds: int) -> Iterator[None]:
    def delay(value: str) -> None:
        postgres.sql(f"ALTER SYSTEM SET pre_auth_delay = {value};\nSELECT pg_reload_conf();")

    delay(str(seconds))
    try:
        yield
    finally:
        delay("DEFAULT")


@contextmanager
def _queued_and_not_received(observer: Observer) -> Iterator[None]:
    """A task lies in the broker: its worker stands still, and goes on afterwards."""
    worker = observer.cluster.worker
    if worker is None:
        raise RehearsalError("This cluster has no worker of its own.")
    with frozen(worker):
        before = messages()
        run = observer.start(PROBE)
        observer.wait_until(f"{run} lies in the broker", lambda: messages() > before, 20)
        yield


TAKEN = ("ApproximateNumberOfMessagesNotVisible",)
"""Messages that somebody received and did not delete."""
ALL = ("ApproximateNumberOfMessages", *TAKEN)
"""All that were sent and not deleted."""


def messages(counts: tuple[str, ...] = ALL) -> int:
    """Messages in the queue."""
    sqs = client("sqs")
    url = sqs.get_queue_url(QueueName=f"airkiln-{parameters.NAME}-{parameters.QUEUE}")["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(counts))["Attributes"]
    return sum(int(found[name]) for name in counts)


def restarts(cluster: Cluster) -> dict[str, int]:
    """How often systemd has restarted each of our units and Airflow's by itself, by host and unit."""
    found = {}
    for host in cluster.hosts:
        shown = host.systemctl("show", "airflow-*.service", "airkiln-*.service", "--property=Id,NRestarts")
        for unit in shown.split("\n\n"):
            values = dict(line.partition("=")[::2] for line in unit.splitlines())
            found[f"{host.name} {values['Id']}"] = int(values["NRestarts"])
    return found


def journals(cluster: Cluster, began: float) -> dict[str, list[str]]:
    """What each host's units said since then (seconds since 1970), but for what a web server was asked."""
    found = {}
    for host in cluster.hosts:
        said = host.journal(f"--since=@{began:.0f}", "--output=cat", lines=100_000).splitlines()
        found[host.name] = [line for line in said if "http.access" not in line]
    return found


def _running(observer: Observer) -> int:
    query = "SELECT count(DISTINCT run_id) FROM rehearsal.mark WHERE what = 'start' AND run_id = ANY(%s)"
    return int(observer.rows(query, (observer.runs,))[0][0])


def _next_after(observer: Observer, job: int) -> None:
    with observer.probing() as wait:
        wait(PATIENCE, lambda other: other > job)


def _wait_for_successor(observer: Observer, job: int) -> None:
    observer.wait_until("another leads", lambda: observer.leads_after(job), PATIENCE)


def _judged(observer: Observer) -> list[str]:
    takeover = time.time()
    observer.wait_until("every task has ended", observer.idle, FINISHED)
    return observer.verdict(takeover)


def _across_two(observer: Observer) -> Trial:
    began = time.time()
    return Trial("frozen_across_two", began, None, 0, problems=frozen_across_two(observer))


def _in_login(observer: Observer) -> Trial:
    began = time.time()
    problems, logins = frozen_in_login(observer)
    if not logins:
        raise RehearsalError("No login was half open when the host was frozen.")
    return Trial("frozen_in_login", began, None, 0, problems=problems)


def _ten_minutes(observer: Observer) -> Trial:
    began = time.time()
    problems, resumed = database_away(observer, 600)
    return Trial("database_away", began, resumed, 0, problems=problems)


ORDEALS: dict[str, Callable[[Observer], Trial]] = {
    "killed_before_sending": lambda observer: trial(observer, killed_before_sending(observer)),
    "frozen": lambda observer: trial(observer, FROZEN),
    "frozen_across_two": _across_two,
    "frozen_in_login": _in_login,
    "database_away": _ten_minutes,
}
"""By name, as a campaign runs them."""
BUDGETS = {"killed_before_sending": 1.2, "frozen": 6.0, "database_away": 5.0}
"""Seconds to the next task instance queued; of the database that was away, from its first connection."""
