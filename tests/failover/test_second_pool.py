"""A pool beside the default one, a deferred task, and the log of a task whose worker has gone.

One run shows all three: the pool's worker is terminated after it, and each test looks at what is left.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rehearsal.aws.client import client
from rehearsal.chaos.bench import Bench
from rehearsal.chaos.readiness import wait_until_ready
from rehearsal.deployment.host import SCHEDULER_UNIT, WEBSERVER_UNIT, load_parameters_again
from rehearsal.deployment.parameters import NAME, QUEUE, VISIBILITY, parameter, put, remove
from rehearsal.deployment.seed import publish_dags
from rehearsal.deployment.worker_group import WorkerGroup
from rehearsal.errors import RehearsalError
from rehearsal.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.image]

DAG = "second_pool"
POOL = "batch"
LOGS = "airkiln-rehearsal-logs"
QUEUES = "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__PREDEFINED_QUEUES"
ADDED = {
    "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": f"s3://{LOGS}/task-logs",
    "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
    "AIRKILN_POOLS": json.dumps(
        {"default": {"slots": 4, "queues": [QUEUE]}, POOL: {"slots": 2, "queues": [POOL]}}
    ),
}
"""What deploy.yml writes for two pools and a bucket of logs."""
DEFERRED = "SELECT 1 FROM task_instance WHERE run_id = %s AND task_id = 'deferred' AND state = 'deferred'"


@dataclass(frozen=True)
class Run:
    """What is left of the run."""

    tasks: dict[str, dict[str, Any]]
    """The task instances by task, as the API describes them."""
    worker: str
    """Address of the second pool's worker, which is gone."""
    was_deferred: bool


@pytest.fixture(scope="module")
def run(bench: Bench) -> Iterator[Run]:
    """Run the DAG on a cluster with a second pool, then terminate the pool's worker."""
    airflow, observer = bench.cluster.airflow, bench.observer
    group = WorkerGroup(bench.cluster.region, POOL)
    with two_pools(bench):
        group.create(bench.cluster.image, desired=1, minimum=1)
        try:
            worker = group.wait_until_serving(1)[0]
            wait_until("the DAG is parsed", lambda: airflow.knows(DAG), 90)
            started = airflow.run(DAG)
            deferred = False
            with suppress(RehearsalError):
                wait_until("a task is deferred", lambda: bool(observer.rows(DEFERRED, (started,))), 60)
                deferred = True
            state = airflow.wait_for(DAG, started, 120)
            assert state == "success", bench.cluster.journals()
        finally:
            group.remove()
        machine = bench.cluster.region.machines / worker.name
        wait_until("the pool's worker has gone", lambda: not machine.exists(), 60)
        tasks = {each["task_id"]: each for each in airflow.task_instances(DAG, started)}
        yield Run(tasks, worker.address, deferred)


@contextmanager
def two_pools(bench: Bench) -> Iterator[None]:
    """Give the environment a second pool with its queue, and a bucket of logs."""
    sqs = client("sqs")
    created = sqs.create_queue(
        QueueName=f"airkiln-{NAME}-{POOL}", Attributes={"VisibilityTimeout": str(VISIBILITY)}
    )
    client("s3").create_bucket(Bucket=LOGS)
    publish_dags(Path(__file__).with_name("dags"))
    before = parameter(f"common/{QUEUES}")
    both = json.loads(before) | {POOL: {"url": created["QueueUrl"]}}
    put({"common": ADDED | {QUEUES: json.dumps(both)}})
    reload(bench)
    try:
        yield
    finally:
        put({"common": {QUEUES: before}})
        remove("common", ADDED)
        reload(bench)


def reload(bench: Bench) -> None:
    units = dict.fromkeys(bench.cluster.schedulers, SCHEDULER_UNIT) | {
        bench.cluster.webserver: WEBSERVER_UNIT
    }
    load_parameters_again(units)
    wait_until("the web server answers", lambda: not bench.cluster.airflow.unhealthy(), 90)
    wait_until_ready(bench.observer)


def test_a_task_runs_on_the_worker_of_its_queue_s_pool(run: Run) -> None:
    assert run.tasks["on_batch"]["hostname"] == run.worker
    assert run.tasks["deferred"]["hostname"] != run.worker


def test_a_deferred_task_waits_in_the_triggerer_and_ends(run: Run) -> None:
    assert run.was_deferred
    assert run.tasks["deferred"]["state"] == "success"


def test_the_log_of_a_task_outlives_its_worker(bench: Bench, run: Run) -> None:
    assert "printed on the second pool" in bench.cluster.airflow.log(run.tasks["on_batch"])
