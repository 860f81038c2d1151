"""What a queue does to tasks: a message that is handed out again, one whose token has expired, one that was
handed to a worker that died while it polled, or that has stopped.

Tests and the benchmark call the same functions. SQS's visibility time-out is shortened for the first two, so
that a copy comes while the task runs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rehearsal.aws.client import client
from rehearsal.chaos.faults.network import frozen
from rehearsal.chaos.instrumentation import put, remove
from rehearsal.chaos.observer import Observer
from rehearsal.chaos.scenarios.ordeals import TAKEN, messages
from rehearsal.chaos.scenarios.takeover import FINISHED, make_whole
from rehearsal.deployment import parameters
from rehearsal.deployment.cluster import LOAD, PROBE, SCHEDULER_UNIT, Cluster, Host
from rehearsal.deployment.worker_group import WORKER_UNITS
from rehearsal.errors import RehearsalError

REDELIVERED = 12
"""Seconds of the shortened visibility time-out."""
RUNS_FOR = 30.0
"""Seconds of a task that is still running when its copy comes."""
STRANDED = 120.0
"""Seconds at most until a task runs whose message went to a worker that died."""
LIFE = "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT"
COPY_IGNORED, EXPIRED = "Task already running elsewhere", "has expired, so it starts nothing"
"""What a worker says of a copy."""
_BEGAN = "SELECT count(*) FROM rehearsal.mark WHERE run_id = %s AND what = 'start'"


def copied(observer: Observer) -> list[str]:
    """A running task's message is handed out again, its token fresh; the verdict."""
    make_whole(observer)
    return _copied(observer, COPY_IGNORED)


def copied_when_expired(observer: Observer) -> list[str]:
    """A running task's message is handed out again when its token has expired; the verdict."""
    make_whole(observer)
    with _tokens_live(observer, 1):
        return _copied(observer, EXPIRED)


def killed_while_polling(observer: Observer) -> tuple[list[str], float]:
    """A worker dies as soon as a message has been handed to it; the verdict, and how long the task waited."""
    make_whole(observer)
    worker = own_worker(observer.cluster)
    with frozen(worker):
        before = messages()
        run = observer.start(PROBE)
        observer.wait_until(f"{run} lies in the broker", lambda: messages() > before, 20)
        time.sleep(1)  # the broker answers the poll
        at = time.monotonic()
        for path in worker.group.glob("payload/system.slice/**/airflow-worker@*.service/cgroup.kill"):
            path.write_text("1")
    observer.wait_until(f"{run} runs", lambda: bool(observer.rows(_BEGAN, (run,))[0][0]), STRANDED)
    waited = time.monotonic() - at
    observer.wait_until("every task has ended", observer.idle, FINISHED)
    return observer.verdict(time.time()), waited


def stopped_while_polling(observer: Observer) -> tuple[list[str], float]:
    """A task is asked for as soon as a worker has stopped, which then starts anew.

    Returns the verdict, and the seconds from that start until the task ran.
    """
    make_whole(observer)
    worker, unit = own_worker(observer.cluster), "airflow-worker@1.service"
    # What somebody else left there before is not this stop's doing.
    observer.wait_until("nobody has a message in hand", lambda: not messages(TAKEN), STRANDED)
    worker.systemctl("stop", unit)
    try:
        before = messages()
        run = observer.start(PROBE)
        observer.wait_until(f"{run} lies in the broker", lambda: messages() > before, 20)
        time.sleep(1)  # the broker answers a poll that is still open
        taken = messages(TAKEN)
    finally:
        at = time.monotonic()
        worker.systemctl("start", unit)
    observer.wait_until(f"{run} runs", lambda: bool(observer.rows(_BEGAN, (run,))[0][0]), STRANDED)
    waited = time.monotonic() - at
    observer.wait_until("every task has ended", observer.idle, FINISHED)
    problems = observer.verdict(time.time())
    if taken:
        problems.append(f"{worker.name} has stopped, and the broker has handed {taken} messages to it")
    return problems, waited


def own_worker(cluster: Cluster) -> Host:
    """The cluster's worker that is no group's."""
    if cluster.worker is None:
        raise RehearsalError("This cluster has no worker of its own.")
    return cluster.worker


def _copied(observer: Observer, said: str) -> list[str]:
    worker, began = own_worker(observer.cluster), time.time()
    with _visible_after(REDELIVERED):
        observer.start(LOAD, tasks=1, seconds=RUNS_FOR)
        observer.wait_until("every task has ended", observer.idle, RUNS_FOR + FINISHED)
    found = observer.verdict(time.time())
    if said not in worker.journal(f"--since=@{began:.0f}", f"--unit={WORKER_UNITS}", lines=10_000):
        found.append(f"{worker.name} has not said that a message {said!r}: there was no copy to judge")
    return found


@contextmanager
def _visible_after(seconds: int) -> Iterator[None]:
    """A message that nobody has deleted is handed out again after so long."""
    sqs = client("sqs")
    url = sqs.get_queue_url(QueueName=f"airkiln-{parameters.NAME}-{parameters.QUEUE}")["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": str(seconds)})
    try:
        yield
    finally:
        whole = {"VisibilityTimeout": str(parameters.VISIBILITY)}
        sqs.set_queue_attributes(QueueUrl=url, Attributes=whole)


@contextmanager
def _tokens_live(observer: Observer, seconds: int) -> Iterator[None]:
    """Queued tasks are sent with tokens that live so long, beyond the leeway of 10 s."""
    put({"scheduler": {LIFE: str(seconds)}})
    _reload(observer)
    try:
        yield
    finally:
        remove("scheduler", [LIFE])
        _reload(observer)


def _reload(observer: Observer) -> None:
    """Have every scheduler host take its parameters anew."""
    hosts = observer.cluster.schedulers
    before = [host.main_process(SCHEDULER_UNIT) for host in hosts]
    for host in hosts:
        host.systemctl("reload", "airkiln-boot.service")
    observer.wait_until(
        "every scheduler is another process",
        lambda: all(_other(*each) for each in zip(hosts, before, strict=True)),
        60,
    )
    make_whole(observer)


def _other(host: Host, process: int) -> bool:
    running = host.processes(SCHEDULER_UNIT)
    return bool(running) and process not in running
