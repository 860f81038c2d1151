"""Writes what is recorded of the product's calls to AWS, scene by scene.

    python -m tests.stacks.access.record                recorded/airkiln.json, within seconds
    python -m tests.stacks.access.record ENVIRONMENT    recorded/airflow.json too, within two minutes

ENVIRONMENT is a virtual environment with roles/airflow/files/requirements-x86_64.txt on Python 3.13
(cloudformation/README.md says how to make one).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.stacks.access import product_scenes
from tests.stacks.access.recorder import (
    ACCOUNT,
    CREDENTIALS,
    ENVIRONMENT,
    REGION,
    Recorder,
    client,
    make_bucket,
    recording,
)

HERE = Path(__file__).parent
RECORDED = HERE / "recorded"
LOCK = HERE.parents[2] / "roles" / "airflow" / "files" / "requirements-x86_64.txt"
LOGS = f"airkiln-{ENVIRONMENT}-logs-{ACCOUNT}-{REGION}"
RELEASES = f"airkiln-{ENVIRONMENT}-releases-{ACCOUNT}-{REGION}"
QUEUE = f"airkiln-{ENVIRONMENT}-default"
SPEAKS_TO_AWS = (
    "apache-airflow",
    "apache-airflow-providers-amazon",
    "apache-airflow-providers-celery",
    "kombu",
)
"""The packages whose code makes the calls."""

SCENES = {
    "scheduler_sends_a_task": ["scheduler's tasks"],
    "worker_takes_tasks": ["worker's tasks"],
    "worker_is_stopped_while_a_task_runs": ["worker's tasks"],
    "worker_gives_a_message_back": ["worker's tasks"],
    "worker_keeps_the_log_of_a_task": ["worker's tasks", "scheduler's tasks", "container"],
    "webserver_shows_the_log_of_a_task": ["webserver's tasks"],
    "host_takes_a_release_from_the_bucket": ["scheduler's tasks", "worker's tasks", "container"],
    "scheduler_offloads_a_task": ["scheduler's tasks"],
}
"""Each scene, and the roles that play it. Triggerer and DAG processor write logs too, on scheduler hosts."""

NEED_TASKS = ("worker_is_stopped_while_a_task_runs", "worker_gives_a_message_back")


def configuration(home: Path, endpoint: str) -> dict[str, str]:
    """The variables of an instance that AWS calls depend on."""
    queue_url = f"{endpoint}/{ACCOUNT}/{QUEUE}"
    options = "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__"
    ecs = "AIRFLOW__AWS_ECS_EXECUTOR__"
    return {
        **CREDENTIALS,
        "AWS_ENDPOINT_URL": endpoint,
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "NO_PROXY": "127.0.0.1",
        "RELEASES": RELEASES,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CELERY__BROKER_URL": "sqs://",
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+sqlite:///{home}/results.db",
        "AIRFLOW__CELERY__EXTRA_CELERY_CONFIG": json.dumps({"worker_soft_shutdown_timeout": 3}),
        "AIRFLOW__CELERY__WORKER_ENABLE_REMOTE_CONTROL": "False",
        f"{options}PREDEFINED_QUEUES": json.dumps({"default": {"url": queue_url}}),
        f"{options}REGION": REGION,
        f"{options}VISIBILITY_TIMEOUT": "60",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://127.0.0.1:9/execution/",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__OPERATORS__DEFAULT_QUEUE": "default",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": f"{home}/logs",
        "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
        "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": f"s3://{LOGS}/task-logs",
        f"{ecs}CLUSTER": f"airkiln-{ENVIRONMENT}",
        f"{ecs}CONTAINER_NAME": "airflow",
        f"{ecs}TASK_DEFINITION": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/airkiln-{ENVIRONMENT}:1",
        f"{ecs}SUBNETS": "subnet-0123456789abcde04",
        f"{ecs}SECURITY_GROUPS": "sg-0123456789abcde05",
        f"{ecs}REGION_NAME": REGION,
        f"{ecs}LAUNCH_TYPE": "FARGATE",
    }


def furnish(endpoint: str) -> None:
    """The buckets and the queue of an environment."""
    for bucket in (LOGS, RELEASES):
        make_bucket(endpoint, bucket)
    client("s3", endpoint).put_object(Bucket=RELEASES, Key="releases/1/example.py", Body=b"# a DAG")
    client("sqs", endpoint).create_queue(QueueName=QUEUE, Attributes={"VisibilityTimeout": "60"})


def play(recorder: Recorder, python: Path, environment: dict[str, str]) -> list[dict[str, Any]]:
    """The calls of each scene."""
    scenes = []

    def play_one(scene: str) -> None:
        command = [str(python), str(HERE / "airflow_scenes.py"), scene]
        subprocess.run(command, env=environment, check=True, timeout=300)

    for scene, roles in SCENES.items():
        if scene in NEED_TASKS:
            play_one("scheduler_sends_a_task")
        recorder.taken()
        play_one(scene)
        calls = [call.as_json() for call in recorder.taken()]
        if not calls:
            raise RuntimeError(f"{scene}: no call was recorded")
        scenes.append({"scene": scene, "roles": roles, "calls": calls})
    return scenes


def write(name: str, content: dict[str, Any]) -> None:
    """One file of recorded/."""
    RECORDED.mkdir(exist_ok=True)
    (RECORDED / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def of_airflow(python: Path) -> dict[str, Any]:
    """The scenes of Airflow, and the versions whose calls they are."""
    script = "import importlib.metadata, sys; print(*map(importlib.metadata.version, sys.argv[1:]))"
    found = subprocess.check_output([python, "-c", script, *SPEAKS_TO_AWS], text=True).split()
    versions = dict(zip(SPEAKS_TO_AWS, found, strict=True))
    with recording() as (recorder, endpoint), tempfile.TemporaryDirectory() as home:
        furnish(endpoint)
        scenes = play(recorder, python, configuration(Path(home), endpoint))
        text = json.dumps(scenes).replace(endpoint, f"https://sqs.{REGION}.amazonaws.com")
    return {"versions": versions, "scenes": json.loads(text)}


if __name__ == "__main__":
    write("airkiln", product_scenes.record())
    for given in sys.argv[1:]:
        write("airflow", of_airflow(Path(given) / "bin" / "python"))
