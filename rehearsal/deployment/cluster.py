"""A whole environment on this machine: PostgreSQL, a web server, a worker and several scheduler hosts.

Every instance is launched through EC2 from the one baked image, with its role in a tag and its parameters in
Parameter Store, after the database step: the order in which a deployment creates them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from rehearsal.aws import session
from rehearsal.aws.account import aws_region
from rehearsal.aws.client import client
from rehearsal.aws.instances import LaunchOptions, launch_instance, list_instances
from rehearsal.aws.services.rds.postgres import Postgres
from rehearsal.deployment import parameters
from rehearsal.deployment.airflow_api import Airflow
from rehearsal.deployment.host import CONTROLLER_UNIT, Host
from rehearsal.deployment.instances import (
    ENVIRONMENT_TAG,
    POOL_TAG,
    ROLE_TAG,
    WEB_PORT,
    prepare_database,
    present,
)
from rehearsal.deployment.plain_airflow import AIRFLOW_DEFAULTS, WITHOUT_CONTROLLER
from rehearsal.deployment.seed import publish_dags, seed
from rehearsal.errors import RehearsalError
from rehearsal.linux.machine import machines
from rehearsal.region import Region
from rehearsal.waiting import ignoring, wait_until

EXECUTION_API = "AIRFLOW__CORE__EXECUTION_API_SERVER_URL"
ZONES = "bcd"
"""The zones of scheduler hosts, one after the other. Web server and worker are in the region's first."""


@dataclass(frozen=True)
class Layout:
    """Which instances a cluster has besides its web server."""

    schedulers: int = 2
    workers: int = 1
    """1, or 0 where an Auto Scaling group has all workers (rehearsal.deployment.worker_group)."""
    controllers: bool = True
    """Whether failover controllers run. Without, every scheduler is active, at Airflow's own defaults."""


class Extension:
    """What a user of a cluster adds while it boots; by itself, nothing."""

    dag_folders: Sequence[Path] = ()
    """Folders of DAGs that are published beside the example."""
    dag_ids: Sequence[str] = ()
    """The DAGs in them: the boot waits until they are parsed, and unpauses them."""
    scheduler_user_data: str | None = None
    """User data of scheduler hosts with a failover controller."""

    def on_database(self, postgres: Postgres) -> None:
        """PostgreSQL accepts connections and has no database yet."""

    def on_prepared(self, postgres: Postgres) -> None:
        """The metadata database is migrated, and no instance is launched yet."""


@dataclass
class Cluster:
    """The machines of an environment, and a client of its API. The caller must be in the region's network."""

    region: Region
    image: str
    postgres: Postgres
    webserver: Host
    worker: Host | None
    """The cluster's own worker; None where an Auto Scaling group has all workers."""
    schedulers: list[Host]
    airflow: Airflow

    @classmethod
    def boot(
        cls, region: Region, image: str, layout: Layout | None = None, extension: Extension | None = None
    ) -> Cluster:
        """Boot all of it and wait until it serves. An earlier cluster and its database are removed.

        :param extension: what is added on the way.
        """
        layout, extension = layout or Layout(), extension or Extension()
        terminate_all(region)
        postgres = Postgres(region)
        postgres.machine.remove()
        postgres.start()
        extension.on_database(postgres)
        login = seed(postgres)
        for folder in extension.dag_folders:
            publish_dags(folder)
        parameters.remove("common", AIRFLOW_DEFAULTS)
        parameters.put({} if layout.controllers else {"common": AIRFLOW_DEFAULTS})
        prepare_database(region, image)
        extension.on_prepared(postgres)
        # Its address is given out again at once, and a machine that still powers off would answer to it.
        wait_until_gone(
            region, [each.name for each in machines(region) if each.name != postgres.machine.name]
        )
        web = _launch(region, image, "webserver")
        parameters.put({"common": {EXECUTION_API: f"http://{web.address}:{WEB_PORT}/execution/"}})
        user_data = extension.scheduler_user_data if layout.controllers else WITHOUT_CONTROLLER
        worker = _launch(region, image, "worker") if layout.workers else None
        hosts = [
            _launch(region, image, "scheduler", user_data, zone=aws_region() + ZONES[number % len(ZONES)])
            for number in range(layout.schedulers)
        ]
        airflow = Airflow(f"http://{web.address}:{WEB_PORT}", login.username, login.password)
        cluster = cls(region, image, postgres, web, worker, hosts, airflow)
        cluster.wait_until_ready(extension.dag_ids)
        return cluster

    @classmethod
    def find(cls, region: Region) -> Cluster | None:
        """The cluster that runs in the region; None if there is no whole one."""
        if not session.aws_running(region):
            return None
        hosts: dict[str, list[Host]] = {}
        image = ""
        for each in list_instances("running"):
            if POOL_TAG in each["tags"] or each["tags"].get(ENVIRONMENT_TAG) != parameters.NAME:
                continue  # a worker of a group, or an instance of a deployed environment
            role = each["tags"].get(ROLE_TAG, "")
            host = Host(region, str(each["InstanceId"]), str(each["PrivateIpAddress"]))
            hosts.setdefault(role, []).append(host)
            image = str(each["ImageId"])
        if not {"webserver", "scheduler"} <= hosts.keys():
            return None
        username = parameters.parameter("database/AIRKILN_ADMIN_USERNAME")
        password = parameters.parameter("database/AIRKILN_ADMIN_PASSWORD")
        web = hosts["webserver"][0]
        airflow = Airflow(f"http://{web.address}:{WEB_PORT}", username, password)
        schedulers = sorted(hosts["scheduler"], key=lambda host: IPv4Address(host.address))
        worker = next(iter(hosts.get("worker", [])), None)
        return cls(region, image, Postgres(region), web, worker, schedulers, airflow)

    @property
    def hosts(self) -> list[Host]:
        """All instances of the cluster, without those of groups."""
        return [self.webserver, *([self.worker] if self.worker else []), *self.schedulers]

    @property
    def controllers(self) -> bool:
        """Whether failover controllers run, as the first scheduler host has it."""
        return self.schedulers[0].systemctl("is-active", CONTROLLER_UNIT, check=False) == "active"

    @property
    def own_worker(self) -> Host:
        """The cluster's own worker. RehearsalError if it has none."""
        if self.worker is None:
            raise RehearsalError("This cluster has no worker of its own: its workers are a group's.")
        return self.worker

    def wait_until_ready(self, dag_ids: Sequence[str] = (), seconds: float = 180) -> None:
        """Wait until every machine has started everything and these DAGs are parsed; unpause them."""
        for host in self.hosts:
            host.wait_until_up(seconds)
        wait_until(
            "the DAGs are parsed",
            # Until the web server answers, the API raises.
            ignoring(RehearsalError, lambda: all(self.airflow.knows(dag) for dag in dag_ids)),
            seconds,
            self.schedulers[0].machine.hint,
        )
        for dag in dag_ids:
            self.airflow.unpause(dag)

    def journals(self, lines: int = 100) -> str:
        """The end of the units' journals on every machine that runs, without the web server's access log."""
        found = []
        for host in self.hosts:
            with suppress(RehearsalError):
                entries = [
                    line for line in host.journal(lines=lines * 4).splitlines() if "http.access" not in line
                ]
                found.append("\n".join([f"--- {host.name} {host.address}", *entries[-lines:]]))
        return "\n".join(found)


def terminate_all(region: Region) -> None:
    """Terminate every instance of the region and wait until none is left."""
    left = [str(each["InstanceId"]) for each in present()]
    if left:
        client("ec2").terminate_instances(InstanceIds=left)
    wait_until_gone(region, left)


def wait_until_gone(region: Region, names: Sequence[str]) -> None:
    """Wait until none of these machines is left."""
    folders = [region.machines / name for name in names]
    wait_until("the instances have gone", lambda: not any(each.exists() for each in folders), 90)


def _launch(
    region: Region, image: str, role: str, user_data: str | None = None, zone: str | None = None
) -> Host:
    tags = {"Name": role, ENVIRONMENT_TAG: parameters.NAME, ROLE_TAG: role} | parameters.task_role_tag()
    options: LaunchOptions = {"profile": parameters.PROFILE, "user_data": user_data, "zone": zone}
    return Host(region, *launch_instance(region, image, tags, **options))
