"""A queue that delivers a message twice, or to a worker that dies or has stopped.

The visibility timeout of the queue is shortened for the first two scenarios, so that a copy of the message is
delivered while the task runs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rehearsal.chaos import workload
from rehearsal.chaos.bench import Bench
from rehearsal.chaos.checkers.tasks import check_takeover
from rehearsal.chaos.faults.network import frozen
from rehearsal.chaos.faults.queue import RECEIVED, messages, redelivered_after
from rehearsal.chaos.instrumentation import PROBE
from rehearsal.chaos.observer import Observer
from rehearsal.chaos.readiness import wait_until_ready
from rehearsal.chaos.scenario import Need, Outcome, Scenario
from rehearsal.chaos.scenarios.takeover import FINISHED
from rehearsal.deployment.host import SCHEDULER_UNIT, load_parameters_again
from rehearsal.deployment.parameters import put, remove
from rehearsal.deployment.worker_group import WORKER_UNITS

REDELIVERED = 12
"""Seconds of the shortened visibility timeout."""
RUNS_FOR = 30.0
"""Seconds of a task that is still running when its copy is delivered."""
STRANDED = 120.0
"""Seconds at most until a task runs whose message went to a worker that died."""
LIFETIME = "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT"
"""Sets how long a task's token is valid; Airflow allows 10 s more."""
COPY_IGNORED, EXPIRED = "Task already running elsewhere", "has expired, so it starts nothing"
"""What a worker logs about a copy."""
_BEGAN = "SELECT count(*) FROM rehearsal.mark WHERE run_id = %s AND what = 'start'"


def _copied(bench: Bench) -> Outcome:
    wait_until_ready(bench.observer)
    return _with_copy(bench, COPY_IGNORED)


def _copied_when_expired(bench: Bench) -> Outcome:
    wait_until_ready(bench.observer)
    with _short_tokens(bench.observer, 1):
        return _with_copy(bench, EXPIRED)


def _with_copy(bench: Bench, logged: str) -> Outcome:
    observer, worker, began = bench.observer, bench.cluster.own_worker, time.time()
    with redelivered_after(REDELIVERED):
        workload.start(observer, seconds=RUNS_FOR)
        observer.wait_until_idle(RUNS_FOR + FINISHED)
    problems = check_takeover(observer, time.time())
    if logged not in worker.journal(f"--since=@{began:.0f}", f"--unit={WORKER_UNITS}", lines=10_000):
        problems.append(f"{worker.name} has not logged {logged!r}: there was no copy to check")
    return Outcome(began, problems)


def _killed_while_polling(bench: Bench) -> Outcome:
    observer, worker, began = bench.observer, bench.cluster.own_worker, time.time()
    wait_until_ready(observer)
    with frozen(worker):
        run = _queue_one(observer)
        at = time.monotonic()
        for path in worker.group.glob("payload/system.slice/**/airflow-worker@*.service/cgroup.kill"):
            path.write_text("1")
    waited = _wait_until_begun(observer, run) - at
    observer.wait_until_idle(FINISHED)
    return Outcome(began, check_takeover(observer, time.time()), waited)


def _stopped_while_polling(bench: Bench) -> Outcome:
    observer, worker, began = bench.observer, bench.cluster.own_worker, time.time()
    unit = "airflow-worker@1.service"
    wait_until_ready(observer)
    # A message that was received before is not the doing of this stop.
    observer.wait_until("no message is received and not deleted", lambda: not messages(RECEIVED), STRANDED)
    worker.systemctl("stop", unit)
    try:
        run = _queue_one(observer)
        received = messages(RECEIVED)
    finally:
        at = time.monotonic()
        worker.systemctl("start", unit)
    waited = _wait_until_begun(observer, run) - at
    observer.wait_until_idle(FINISHED)
    problems = check_takeover(observer, time.time())
    if received:
        problems.append(f"{worker.name} has stopped, and {received} messages were delivered to it")
    return Outcome(began, problems, waited)


def _queue_one(observer: Observer) -> str:
    """Start a run, wait until its task's message is in the queue and open polls are answered; its id."""
    before = messages()
    run = observer.start(PROBE)
    observer.wait_until(f"{run} is in the queue", lambda: messages() > before, 20)
    time.sleep(1)
    return run


def _wait_until_begun(observer: Observer, run: str) -> float:
    return observer.wait_until(f"{run} runs", lambda: bool(observer.rows(_BEGAN, (run,))[0][0]), STRANDED)


@contextmanager
def _short_tokens(observer: Observer, seconds: int) -> Iterator[None]:
    """Tasks that are queued have tokens that are valid for so many seconds."""
    put({"scheduler": {LIFETIME: str(seconds)}})
    _reload(observer)
    try:
        yield
    finally:
        remove("scheduler", [LIFETIME])
        _reload(observer)


def _reload(observer: Observer) -> None:
    """Have every scheduler host load its parameters again."""
    load_parameters_again(dict.fromkeys(observer.cluster.schedulers, SCHEDULER_UNIT))
    wait_until_ready(observer)


_NEEDS = frozenset({Need.CONTROLLERS, Need.OWN_WORKER})
SCENARIOS = (
    Scenario(
        "killed_while_polling",
        "A worker dies that a message was just delivered to; until the task runs.",
        _killed_while_polling,
        STRANDED,
        _NEEDS,
    ),
    Scenario(
        "stopped_while_polling",
        "A task is queued when a worker has just stopped; from the worker's start until the task runs.",
        _stopped_while_polling,
        needs=_NEEDS,
    ),
    Scenario("copied", "A running task's message is delivered again.", _copied, needs=_NEEDS),
    Scenario(
        "copied_when_expired",
        "A running task's message is delivered again when its token has expired.",
        _copied_when_expired,
        needs=_NEEDS,
    ),
)
"""In the order of a campaign."""
