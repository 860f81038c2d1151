"""A whole environment on this machine: PostgreSQL, a web server, a worker and several schedulers.

Every machine boots from the one baked image, by EC2, its role in a tag, its parameters in SSM, after the
database step, as a deployment would have it. What the tests add is theirs alone: roles in PostgreSQL for the
tasks' marks and for the observer, and PostgreSQL's log of every statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import psycopg

from rehearsal.aws import session
from rehearsal.aws.client import client
from rehearsal.aws.instances import LaunchOptions, launch_instance, list_instances
from rehearsal.chaos.instrumentation import log_every_statement, own_parameters, parameter, put, remove
from rehearsal.deployment import parameters
from rehearsal.deployment.airflow_api import Airflow
from rehearsal.deployment.instances import (
    ENVIRONMENT_TAG,
    POOL_TAG,
    ROLE_TAG,
    WEB_PORT,
    prepare_database,
    present,
    raise_if_failed,
)
from rehearsal.deployment.postgres import Postgres
from rehearsal.errors import RehearsalError
from rehearsal.linux.cgroups import ControlGroup
from rehearsal.linux.machine import Machine, machines
from rehearsal.linux.network import port_name
from rehearsal.linux.processes import run
from rehearsal.region import Region
from rehearsal.waiting import wait_until

DAGS = Path(__file__).parent.parent / "chaos" / "dags"
LOAD, PROBE = "failover_load", "failover_probe"
EXECUTION_API = "AIRFLOW__CORE__EXECUTION_API_SERVER_URL"
SCHEDULER_UNIT = "airflow-scheduler.service"
CONTROLLER_UNIT = "airkiln-failover.service"

AIRFLOWS_OWN = {
    "AIRFLOW__CELERY__TASK_PUBLISH_MAX_RETRIES": "3",
    "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
    "AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME": "600",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "300.0",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "5",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "300",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "600.0",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "5",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "90.0",
    "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "3",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "5",
}
"""Where no controller runs, what the image sets otherwise is Airflow's default again (config.yml of 3.3.2,
and the Celery provider's), or the peer would be measured with our settings."""
WITHOUT_CONTROLLER = """\
#cloud-config
bootcmd:
  - rm -f /etc/systemd/system/airkiln-scheduler.target.d/20-failover.conf
  - rm -f /etc/systemd/system/airflow-scheduler.service.d/40-failover.conf
  - rm -f /etc/systemd/system/airflow-dag-processor.service.d/40-failover.conf
  - mkdir -p /etc/systemd/system/airkiln-scheduler.target.d
  - "printf '[Unit]\\nWants=airflow-dag-processor.service\\n' \
> /etc/systemd/system/airkiln-scheduler.target.d/20-failover.conf"
  - systemctl daemon-reload
"""
"""User data by which a host of an image with the controller boots as if it had been baked without
(`failover_controller_mode: off`)."""


@dataclass(frozen=True)
class Host:
    """One instance of the cluster."""

    region: Region
    name: str
    address: str

    @property
    def machine(self) -> Machine:
        """Its machine."""
        return Machine(self.region, self.name)

    @property
    def group(self) -> Path:
        """The control group of the whole machine, in the unified hierarchy, as the host sees it."""
        return ControlGroup(self.region, f"machine-{self.name}").folders[0]

    def unit_group(self, unit: str) -> Path:
        """The control group of one of its units."""
        return self.group / "payload" / "system.slice" / unit

    def processes(self, unit: str) -> list[int]:
        """Ids, on this host, of a unit's processes, the oldest first; none if it does not run."""
        found: list[int] = []
        for place in [self.unit_group(unit), *self.unit_group(unit).glob("**/")]:
            with suppress(OSError):
                found += [int(pid) for pid in (place / "cgroup.procs").read_text().split()]
        return sorted(set(found))

    def main_process(self, unit: str) -> int:
        """Id, on this host, of the process that systemd takes for the unit's own."""
        for pid in (known := self.processes(unit)):
            with suppress(OSError):
                if _parent(pid) not in known:
                    return pid
        raise RehearsalError(f"{unit} does not run on {self.name}.")

    def journal(self, *options: str, lines: int = 200) -> str:
        """The end of the journal of our units and Airflow's, without what the web server says of requests."""
        asked = ["journalctl", "--no-pager", f"--lines={lines}", "--unit=airkiln-*", "--unit=airflow-*"]
        return self.machine.execute([*asked, *options], check=False, timeout=20).stdout

    def systemctl(self, *words: str, check: bool = True) -> str:
        """What systemctl says in the machine."""
        return self.machine.execute(["systemctl", *words], check=check).stdout.strip()

    def wait_until_up(self, seconds: float) -> None:
        """Wait until systemd has nothing left to start, and none of our units failed."""
        self.machine.wait_until_booted(seconds)
        wait_until(f"{self.name} has no job left", lambda: not _jobs(self), seconds, self.machine.hint)
        raise_if_failed(self.machine)

    def cut_power(self) -> None:
        """End the machine between two instructions: the network first, since a dead host says no farewell."""
        port = port_name(self.name)
        run(["ip", "-n", self.region.namespace, "link", "set", port, "down"])
        (self.group / "cgroup.kill").write_text("1")


@dataclass
class Cluster:
    """What runs, and how to reach it. The calling thread must be in the region's network."""

    region: Region
    image: str
    postgres: Postgres
    webserver: Host
    worker: Host | None
    """None where workers are a group's."""
    schedulers: list[Host]
    airflow: Airflow

    @classmethod
    def boot(
        cls,
        region: Region,
        image: str,
        *,
        schedulers: int = 2,
        workers: int = 1,
        controllers: bool = True,
    ) -> Cluster:
        """Boot all of it and wait until it serves; an earlier one and its database are removed.

        :param workers: 1, or 0 where a group beside the cluster has them (rehearsal.deployment.worker_group).
        :param controllers: without, every scheduler is active, Airflow's own way, at Airflow's defaults.
        """
        terminate_all(region)
        postgres = Postgres(region)
        postgres.machine.remove()
        postgres.start()
        log_every_statement(postgres)
        login = parameters.prepare(postgres)
        publish_dags()
        remove("common", AIRFLOWS_OWN)
        put({} if controllers else {"common": AIRFLOWS_OWN})
        prepare_database(region, image)
        put(own_parameters(postgres))
        # Its address is given out again at once, and a machine that still powers off would answer to it.
        wait_until_gone(
            region, [each.name for each in machines(region) if each.name != postgres.machine.name]
        )
        web = cls._launch(region, image, "webserver")
        put({"common": {EXECUTION_API: f"http://{web.address}:{WEB_PORT}/execution/"}})
        data = None if controllers else WITHOUT_CONTROLLER
        worker = cls._launch(region, image, "worker") if workers else None
        hosts = [cls._launch(region, image, "scheduler", data) for _ in range(schedulers)]
        airflow = Airflow(f"http://{web.address}:{WEB_PORT}", login.username, login.password)
        made = cls(region, image, postgres, web, worker, hosts, airflow)
        made.wait_until_ready()
        return made

    @classmethod
    def find(cls, region: Region) -> Cluster | None:
        """The one that runs in the region, whole; None if none does."""
        if not session.aws_running(region):
            return None
        hosts: dict[str, list[Host]] = {}
        image = ""
        for each in list_instances("running"):
            role = each["tags"].get(ROLE_TAG, "")
            if POOL_TAG in each["tags"]:
                continue  # a group's
            hosts.setdefault(role, []).append(
                Host(region, str(each["InstanceId"]), str(each["PrivateIpAddress"]))
            )
            image = str(each["ImageId"])
        if not {"webserver", "scheduler"} <= hosts.keys():
            return None
        username = parameter("database/AIRKILN_ADMIN_USERNAME")
        password = parameter("database/AIRKILN_ADMIN_PASSWORD")
        web = hosts["webserver"][0]
        airflow = Airflow(f"http://{web.address}:{WEB_PORT}", username, password)
        schedulers = sorted(hosts["scheduler"], key=lambda host: IPv4Address(host.address))
        worker = next(iter(hosts.get("worker", [])), None)
        return cls(region, image, Postgres(region), web, worker, schedulers, airflow)

    @property
    def hosts(self) -> list[Host]:
        """All instances."""
        return [self.webserver, *([self.worker] if self.worker else []), *self.schedulers]

    @property
    def controllers(self) -> bool:
        """Whether controllers run, as the first scheduler host has it."""
        return self.schedulers[0].systemctl("is-active", CONTROLLER_UNIT, check=False) == "active"

    def observer(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection that reads everything and is left out of the log of statements."""
        return psycopg.connect(parameter("tests/OBSERVER"), autocommit=True, connect_timeout=5)

    def wait_until_ready(self, seconds: float = 180) -> None:
        """Wait until every machine has started everything and the DAGs are known."""
        for host in self.hosts:
            host.wait_until_up(seconds)
        wait_until("the DAGs are parsed", self.knows_dags, seconds, self.schedulers[0].machine.hint)
        for dag in (LOAD, PROBE):
            self.airflow.unpause(dag)

    def knows_dags(self) -> bool:
        """Whether the load's DAGs are listed; False as well while the web server does not answer."""
        try:
            return all(self.airflow.knows(dag) for dag in (LOAD, PROBE))
        except RehearsalError:
            return False

    def journals(self, lines: int = 100) -> str:
        """What the units said on every machine that runs, for a failure's report."""
        told = []
        for host in self.hosts:
            with suppress(RehearsalError):
                said = [
                    line for line in host.journal(lines=lines * 4).splitlines() if "http.access" not in line
                ]
                told.append("\n".join([f"--- {host.name} {host.address}", *said[-lines:]]))
        return "\n".join(told)

    def power_on(self, host: Host, seconds: float = 60) -> None:
        """Boot an instance again whose power was cut, as EC2 does it when it is asked to start it."""
        ec2 = client("ec2")

        def state() -> str:
            found = ec2.describe_instances(InstanceIds=[host.name])["Reservations"][0]["Instances"][0]
            return str(found["State"]["Name"])

        wait_until(f"{host.name} is stopped", lambda: state() == "stopped", seconds)
        ec2.start_instances(InstanceIds=[host.name])
        wait_until(f"{host.name} runs", lambda: state() == "running", seconds)

    @staticmethod
    def _launch(region: Region, image: str, role: str, user_data: str | None = None) -> Host:
        tags = {"Name": role, ENVIRONMENT_TAG: parameters.NAME, ROLE_TAG: role}
        options: LaunchOptions = {"profile": parameters.PROFILE, "user_data": user_data}
        return Host(region, *launch_instance(region, image, tags, **options))


def terminate_all(region: Region) -> None:
    """Terminate every instance of the environment and wait until none is left."""
    left = [str(each["InstanceId"]) for each in present()]
    if left:
        client("ec2").terminate_instances(InstanceIds=left)
    wait_until_gone(region, left)


def wait_until_gone(region: Region, names: Sequence[str]) -> None:
    """Wait until none of these machines is left."""
    folders = [region.machines / name for name in names]
    wait_until("the instances have gone", lambda: not any(each.exists() for each in folders), 90)


def publish_dags() -> None:
    """Put the load's DAGs beside the example."""
    s3 = client("s3")
    for path in sorted(DAGS.glob("*.py")):
        s3.put_object(Bucket=parameters.DAGS_BUCKET, Key=path.name, Body=path.read_bytes())


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _jobs(host: Host) -> str:
    return host.systemctl("list-jobs", "--no-legend", "--no-pager", check=False)
