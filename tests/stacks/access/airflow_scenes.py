"""What Airflow does with AWS, a scene a function; record.py runs it by the interpreter of the locked Airflow.

Nothing is imitated: the senders, the worker, the log handler, the bundle and the executor are Airflow's own,
configured by the same variables as on an instance.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

from airflow.executors import workloads
from airflow.executors.workloads.base import BundleInfo
from airflow.providers.amazon.aws.bundles.s3 import S3DagBundle
from airflow.providers.amazon.aws.executors.ecs.ecs_executor import AwsEcsExecutor
from airflow.providers.amazon.aws.log.s3_task_handler import S3RemoteLogIO
from airflow.providers.celery.executors.celery_executor_utils import app, execute_workload

FOLDER = Path(os.environ["AIRFLOW_HOME"])
LOG = "dag_id=example/run_id=run/task_id=hello/attempt=1.log"


def workload() -> str:
    """A task to start; no execution API is there, so that it waits for one and then fails."""
    instance = {
        "id": str(uuid.uuid4()),
        "dag_version_id": str(uuid.uuid4()),
        "task_id": "hello",
        "dag_id": "example",
        "run_id": "run",
        "try_number": 1,
        "map_index": -1,
        "pool_slots": 1,
        "queue": "default",
        "priority_weight": 1,
    }
    task = workloads.ExecuteTask.model_validate(
        {
            "token": "",
            "ti": instance,
            "dag_rel_path": "example.py",
            "bundle_info": BundleInfo(name="dags", version=None),
            "log_path": LOG,
        }
    )
    return str(task.model_dump_json())


def scheduler_sends_a_task() -> None:
    for _ in range(3):
        execute_workload.apply_async(args=[workload()], queue="default")


def _work(seconds: float, retries: str, stop: signal.Signals) -> None:
    """A worker for so long; ``retries`` bounds how long a task waits for the execution API."""
    airflow = str(Path(sys.executable).with_name("airflow"))
    environment = {**os.environ, "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": retries}
    with (FOLDER / "worker.log").open("a") as log:
        command = [airflow, "celery", "worker", "--concurrency", "1"]
        worker = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        time.sleep(seconds)
        worker.send_signal(stop)
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(60)
        if worker.poll() is None:
            worker.kill()


def worker_takes_tasks() -> None:
    """The tasks end before the worker does."""
    _work(25, "1", signal.SIGTERM)


def worker_is_stopped_while_a_task_runs() -> None:
    _work(20, "100", signal.SIGQUIT)


def worker_gives_a_message_back() -> None:
    """As Celery does with what it holds and does not run, so that another worker may have it."""
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue("default")
        queue.get(timeout=20).requeue()
        queue.close()


def worker_keeps_the_log_of_a_task() -> None:
    """Twice: the second time there is one already."""
    for _ in range(2):
        path = Path(os.environ["AIRFLOW__LOGGING__BASE_LOG_FOLDER"]) / LOG
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one line\n")
        S3RemoteLogIO.from_config().upload(path, None)


def webserver_shows_the_log_of_a_task() -> None:
    sources, logs = S3RemoteLogIO.from_config().read(LOG, None)
    assert sources, "no log was found"
    assert "one line" in "".join(logs)


def host_takes_a_release_from_the_bucket() -> None:
    bundle = S3DagBundle(
        name="dags", aws_conn_id=None, bucket_name=os.environ["RELEASES"], prefix="releases/1/"
    )
    bundle.initialize()
    assert list(bundle.path.rglob("*.py")), "no DAG arrived"


def scheduler_offloads_a_task() -> None:
    executor = AwsEcsExecutor()
    executor.load_ecs_connection(check_connection=False)
    with contextlib.suppress(Exception):
        executor.check_health()  # a stop_task that it expects to fail
    task = f"arn:aws:ecs:eu-west-1:123456789012:task/airkiln-test/{'0' * 32}"
    arguments = executor._run_task_kwargs("task", ["airflow", "tasks"], "default", {})
    executor.ecs.run_task(**arguments)
    executor.ecs.describe_tasks(tasks=[task], cluster=executor.cluster)
    executor.ecs.stop_task(cluster=executor.cluster, task=task, reason="Airflow Executor received a SIGTERM")


if __name__ == "__main__":
    globals()[sys.argv[1]]()
