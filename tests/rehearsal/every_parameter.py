"""Every shared parameter of the main job's instance, changed in two reloads, and who must notice it.

The table of consumers is that of the unit test. Here the units run with the values, so that each is one with
which they start and log in.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from airkiln.boot import changes
from airkiln.receivers import environments
from airkiln.roles import (
    BROKER,
    DAG_PROCESSOR_UNIT,
    DATABASE,
    EXECUTION_API,
    EXECUTOR,
    FERNET_KEY,
    RESULT_BACKEND,
    ROLES,
    TRIGGERER_UNIT,
    WORKER_LOGS_UNIT,
    WORKER_UNIT,
    worker_unit,
)
from airkiln.systemd import envfile
from rehearsal.aws.account import aws_region
from rehearsal.aws.client import client
from rehearsal.deployment.parameters import DAGS_BUCKET, QUEUE
from rehearsal.deployment.seed import queue_name
from rehearsal.linux.network import Network
from tests.rehearsal.main_job import MainJob, raw, show
from tests.support.waiting import PATIENCE, until
from tests.unit.airkiln.boot.test_every_parameter import CONSUMERS, SHARED, drawn, of

FOLDER: Final = "rehearsal/all"
"""Read after every other one, so that its values are in force."""
UNITS: Final = ROLES["all"].units
WITHOUT: Final = {
    "AIRKILN_EFS_HOST": "the kernel's NFS client needs a kernel of the machine's own",
    "AIRKILN_EFS_ID": "the same",
}
"""Parameters that no unit of this instance can run with."""
NAMES: Final = [name for name in SHARED if name not in WITHOUT]
UNDISTURBED: Final = {DAG_PROCESSOR_UNIT, TRIGGERER_UNIT, WORKER_LOGS_UNIT}
PORT: Final = 8090
SECOND: Final = "second"
"""A queue beside the first one."""


def consumers(name: str) -> frozenset[str]:
    """The units of this instance that read a parameter when they start."""
    return (of(name, CONSUMERS) or frozenset()) & frozenset(UNITS)


def restarted_for(name: str) -> frozenset[str]:
    """The units that a change restarts: its consumers, or all of them where the boot path knows no fewer."""
    return consumers(name) | (frozenset(changes.units_of([name], ROLES["all"])) & frozenset(UNITS))


REACH: Final = (
    [name for name in NAMES if not restarted_for(name) & UNDISTURBED],
    [name for name in NAMES if restarted_for(name) & UNDISTURBED],
)
"""What each reload changes. The first one restarts none of UNDISTURBED, the second one every unit."""


def others(now: Mapping[str, str]) -> dict[str, str]:
    """Another good value for each of NAMES.

    :param now: the values in force.
    """
    region = "eu-central-1" if aws_region() != "eu-central-1" else "eu-west-1"
    queues = json.loads(now["AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__PREDEFINED_QUEUES"])
    fernet = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    known = {
        "AIRFLOW__API__BASE_URL": f"http://localhost:{PORT}",
        "AIRFLOW__API__PORT": str(PORT),
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__PREDEFINED_QUEUES": json.dumps(
            queues | {SECOND: queues[QUEUE]}
        ),
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__REGION": region,
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "61",
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__WAIT_TIME_SECONDS": "1",
        BROKER: "sqs:///",
        RESULT_BACKEND: f"{now[RESULT_BACKEND]}&application_name=results",
        "AIRFLOW__CELERY__WORKER_CONCURRENCY": "7",
        EXECUTION_API: f"http://127.0.0.1:{PORT}/execution/",
        EXECUTOR: "CeleryExecutor:airkiln_airflow.executor.AirkilnCeleryExecutor,LocalExecutor",
        FERNET_KEY: f"{fernet},{now[FERNET_KEY]}",
        "AIRFLOW__CORE__PARALLELISM": "33",
        DATABASE: f"{now[DATABASE]}&application_name=changed",
        f"{DATABASE}_ASYNC": f"{now[f'{DATABASE}_ASYNC']}&application_name=changed",
        "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": f"s3://{DAGS_BUCKET}/task-logs",
        "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
        "AIRFLOW__OPERATORS__DEFAULT_QUEUE": SECOND,
        "AIRKILN_POOLS": json.dumps({"default": {"slots": 8, "queues": [QUEUE, SECOND]}}),
        "AIRKILN_RETENTION_DAYS": "31",
        "AIRKILN_WEB_TRUSTED_PROXIES": "10.42.0.0/15",
        "AWS_DEFAULT_REGION": region,
    }
    return {name: known.get(name, drawn(name)) for name in NAMES}


@contextmanager
def restored(job: MainJob) -> Iterator[None]:
    """Put back the instance's own parameters at the end, and have it boot with them."""
    before = job.parameters(FOLDER)
    try:
        yield
    finally:
        job.remove(FOLDER, [name for name in job.parameters(FOLDER) if name not in before])
        job.put(FOLDER, before)
        with Network(job.region).visit():
            client("ec2").reboot_instances(InstanceIds=[job.machine.name])


def change(job: MainJob, names: Collection[str]) -> None:
    """Change these parameters and reload: their consumers run anew with them, and no other unit does."""
    wanted = {name: value for name, value in others(loaded(job)).items() if name in names}
    _make_queue(job, wanted.get("AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__REGION"))
    expected = {unit for name in names for unit in restarted_for(name)}
    until(lambda: _all_active(job), "every unit is active")
    before = {unit: running(job, unit) for unit in UNITS}
    job.put(FOLDER, wanted)
    job.machine.execute(["systemctl", "reload", "airkiln-boot.service"], timeout=PATIENCE)

    def restarted() -> set[str]:
        return {unit for unit in UNITS if running(job, unit) != before[unit]}

    def awaited() -> bool:
        return expected <= restarted() and _all_active(job)

    until(awaited, lambda: {unit: (before[unit], running(job, unit)) for unit in UNITS})
    assert restarted() == expected, {
        unit: (before[unit], running(job, unit)) for unit in restarted() ^ expected
    }
    now = loaded(job)
    derived = {"AIRFLOW__CELERY__WORKER_CONCURRENCY": "8"}
    assert [name for name, value in (wanted | derived).items() if name in names and now[name] != value] == []
    started_with = environments(now, ROLES["all"])
    for unit in sorted(expected):
        found = environment(job, unit)
        of_unit = {name for name in names if unit in consumers(name)}
        assert of_unit <= started_with[unit].keys(), unit
        assert [name for name in of_unit if found.get(name) != started_with[unit][name]] == [], unit


def loaded(job: MainJob) -> dict[str, str]:
    """All parameters that the instance has loaded."""
    files = job.machine.execute(["cat", "/run/airkiln/airflow.env", "/run/airkiln/admin.env"]).stdout
    return envfile.parse(files)


def generation(job: MainJob, unit: str) -> str:
    """The unit itself; of the worker, its newest generation."""
    if unit != WORKER_UNIT:
        return unit
    number = "cat /run/airkiln/worker-generation 2>/dev/null || echo 1"
    return worker_unit(job.machine.execute(["sh", "-c", number]).stdout.strip())


def running(job: MainJob, unit: str) -> tuple[str, str]:
    """The state of a unit and its invocation."""
    shown = show(job.machine, generation(job, unit), "ActiveState", "InvocationID")
    return shown["ActiveState"], shown["InvocationID"]


def environment(job: MainJob, unit: str) -> dict[str, str]:
    """The variables with which a unit's main process has started.

    A worker overwrites its own with the title of its process: what systemd gives to a process of its unit.
    """
    shown = show(job.machine, generation(job, unit), "MainPID", "EnvironmentFiles")
    if unit == WORKER_UNIT:
        paths = re.findall(r"(\S+) \(ignore_errors", shown["EnvironmentFiles"])
        files = [f"--property=EnvironmentFile={path}" for path in paths]
        lines = raw(job.machine, "systemd-run", "--quiet", "--pipe", "--wait", *files, "env", "--null")
    else:
        lines = raw(job.machine, "cat", f"/proc/{shown['MainPID']}/environ")
    return dict(line.partition("=")[::2] for line in lines.decode().split("\0"))


def _all_active(job: MainJob) -> bool:
    return {running(job, unit)[0] for unit in UNITS} == {"active"}


def _make_queue(job: MainJob, region: str | None) -> None:
    """The queue in another region too: what Celery asks for its messages there."""
    if region is not None:
        with Network(job.region).visit():
            client("sqs", region).create_queue(QueueName=queue_name())
