"""A whole environment on this machine: PostgreSQL, a web server, a worker and several schedulers.

Every machine boots from the one baked image, by EC2, its role in a tag, its parameters in SSM, after the
database step, as a deployment would have it. What the tests add is theirs alone: roles in PostgreSQL for the
tasks' marks and for the observer, and PostgreSQL's log of every statement.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import psycopg

from rehearsal import control, environment, up
from rehearsal.airflow import Airflow
from rehearsal.machine import Machine
from rehearsal.network import port_name
from rehearsal.postgres import Postgres
from rehearsal.process import ControlGroup, run
from rehearsal.settings import POSTGRES, Region, RehearsalError

DAGS = Path(__file__).with_name("dags") / "failover"
LOAD, PROBE = "failover_load", "failover_probe"
WEB_PORT = up.WEB_PORT
MARKER, OBSERVER = "rehearsal_marker", "rehearsal_observer"
"""Roles of the tests' own: the first writes the tasks' marks, the second reads everything."""
EXECUTION_API = "AIRFLOW__CORE__EXECUTION_API_SERVER_URL"
DATABASE_ONLY = (
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC",
)
"""What a worker has no use for, and a cluster therefore keeps out of the folder that all read."""
SCHEDULER_UNIT = "airflow-scheduler.service"
CONTROLLER_UNIT = "airkiln-failover.service"

LOGGING = """\
logging_collector = on
log_destination = 'jsonlog'
log_filename = 'statements-%Y%m%d-%H%M%S'
log_rotation_age = 0
log_rotation_size = 256MB
log_statement = 'all'
log_connections = on
log_disconnections = on
log_parameter_max_length = 0
"""
"""Every statement with its role and its time, of which the checker makes its verdict. No values."""
LOG_FOLDER = Path("var/lib/postgresql/17/main/log")

SCHEMA = """
CREATE SCHEMA IF NOT EXISTS rehearsal;
CREATE TABLE IF NOT EXISTS rehearsal.mark (
    run_id text, task_id text, map_index int, try_number int, what text,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""


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

    @property
    def namespace(self) -> str:
        """The network namespace that the machine is in."""
        return self.region.machine_namespace(self.name)

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
        up.wait_until(f"{self.name} has no job left", lambda: not _jobs(self), seconds, self.machine)
        up.raise_if_failed(self.machine)

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
    worker: Host
    schedulers: list[Host]
    airflow: Airflow

    @classmethod
    def boot(
        cls,
        region: Region,
        image: str,
        *,
        schedulers: int = 2,
        extra: Mapping[str, Mapping[str, str]] | None = None,
    ) -> Cluster:
        """Boot all of it and wait until it serves; what an earlier one left in the region is terminated.

        :param extra: parameters on top of the environment's, by folder.
        """
        terminate_all(region)
        postgres = Postgres(region)
        postgres.start()
        log_every_statement(postgres)
        login = environment.prepare(postgres)
        publish_dags()
        put(own_parameters(postgres))
        put(extra or {})
        up.prepare_database(region, image)
        web = cls._launch(region, image, "webserver")
        put({"common": {EXECUTION_API: f"http://{web.address}:{WEB_PORT}/execution/"}})
        others = [cls._launch(region, image, role) for role in ["worker", *["scheduler"] * schedulers]]
        airflow = Airflow(f"http://{web.address}:{WEB_PORT}", login.username, login.password)
        made = cls(region, image, postgres, web, others[0], others[1:], airflow)
        made.wait_until_ready()
        return made

    @classmethod
    def find(cls, region: Region) -> Cluster | None:
        """The one that runs in the region, whole; None if none does."""
        if not control.aws_running(region):
            return None
        hosts: dict[str, list[Host]] = {}
        image = ""
        for each in control.instances("running"):
            role = each["tags"].get(up.ROLE_TAG, "")
            hosts.setdefault(role, []).append(
                Host(region, str(each["InstanceId"]), str(each["PrivateIpAddress"]))
            )
            image = str(each["ImageId"])
        if not {"webserver", "worker", "scheduler"} <= hosts.keys():
            return None
        username = parameter("database/AIRKILN_ADMIN_USERNAME")
        password = parameter("database/AIRKILN_ADMIN_PASSWORD")
        web = hosts["webserver"][0]
        airflow = Airflow(f"http://{web.address}:{WEB_PORT}", username, password)
        schedulers = sorted(hosts["scheduler"], key=lambda host: IPv4Address(host.address))
        return cls(region, image, Postgres(region), web, hosts["worker"][0], schedulers, airflow)

    @property
    def hosts(self) -> list[Host]:
        """All instances."""
        return [self.webserver, self.worker, *self.schedulers]

    def observer(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection that reads everything and is left out of the log of statements."""
        return psycopg.connect(parameter("tests/OBSERVER"), autocommit=True, connect_timeout=5)

    def wait_until_ready(self, seconds: float = 180) -> None:
        """Wait until every machine has started everything and the DAGs are known."""
        for host in self.hosts:
            host.wait_until_up(seconds)
        up.wait_until("the DAGs are parsed", self.knows_dags, seconds, self.schedulers[0].machine)
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
        ec2 = control.client("ec2")

        def state() -> str:
            found = ec2.describe_instances(InstanceIds=[host.name])["Reservations"][0]["Instances"][0]
            return str(found["State"]["Name"])

        up.wait_until(f"{host.name} is stopped", lambda: state() == "stopped", seconds)
        ec2.start_instances(InstanceIds=[host.name])
        up.wait_until(f"{host.name} runs", lambda: state() == "running", seconds)

    def log_files(self) -> list[Path]:
        """PostgreSQL's log of statements, oldest first, as files of this host."""
        return sorted((self.postgres.machine.upper / LOG_FOLDER).glob("*.json"))

    @staticmethod
    def _launch(region: Region, image: str, role: str) -> Host:
        name, address = up.launch(region, image, role)
        return Host(region, name, address)


def terminate_all(region: Region) -> None:
    """Terminate every instance of the environment and wait until none is left."""
    left = [str(each["InstanceId"]) for each in up.present()]
    if left:
        control.client("ec2").terminate_instances(InstanceIds=left)
    up.wait_until(
        "the instances have gone", lambda: not any((region.machines / n).exists() for n in left), 90
    )


def publish_dags() -> None:
    """Put the load's DAGs beside the example."""
    s3 = control.client("s3")
    for path in sorted(DAGS.glob("*.py")):
        s3.put_object(Bucket=environment.DAGS_BUCKET, Key=path.name, Body=path.read_bytes())


def put(wanted: Mapping[str, Mapping[str, str]]) -> None:
    """Store parameters of the environment, by folder."""
    ssm = control.client("ssm")
    for folder, values in wanted.items():
        for name, value in values.items():
            ssm.put_parameter(
                Name=f"{environment.FOLDER}/{folder}/{name}", Value=value, Type="SecureString", Overwrite=True
            )


def parameter(name: str) -> str:
    """One parameter of the environment, by folder and name; empty if there is none."""
    ssm = control.client("ssm")
    try:
        found = ssm.get_parameter(Name=f"{environment.FOLDER}/{name}", WithDecryption=True)
    except ssm.exceptions.ParameterNotFound:
        return ""
    return str(found["Parameter"]["Value"])


def own_parameters(postgres: Postgres) -> dict[str, dict[str, str]]:
    """The roles of the tests' own: the marker's for the worker, the observer's for whoever measures.

    What only those read that log in to the metadata database moves from the common folder to theirs.
    """
    postgres.sql(SCHEMA, "airflow")
    folders: dict[str, dict[str, str]] = {"worker": {}, "tests": {}}
    for role, folder, name in (
        (MARKER, "worker", "AIRKILN_REHEARSAL_MARKS"),
        (OBSERVER, "tests", "OBSERVER"),
    ):
        password = secrets.token_urlsafe(24)
        postgres.create_role(role, password)
        address = f"postgresql://{role}:{password}@{POSTGRES}/airflow?sslmode=require"
        folders[folder][name] = address
    postgres.sql(
        f"""
        GRANT USAGE ON SCHEMA rehearsal TO {MARKER}, {OBSERVER};
        GRANT INSERT ON rehearsal.mark TO {MARKER};
        GRANT pg_read_all_data, pg_monitor TO {OBSERVER};
        ALTER ROLE {OBSERVER} SET log_statement = 'none';
        ALTER ROLE {MARKER} SET log_statement = 'none';
        """,
        "airflow",
    )
    ssm = control.client("ssm")
    for name in DATABASE_ONLY:
        if value := parameter(f"common/{name}"):
            for folder in ("webserver", "scheduler", "database"):
                folders.setdefault(folder, {})[name] = value
            ssm.delete_parameter(Name=f"{environment.FOLDER}/common/{name}")
    return folders


def log_every_statement(postgres: Postgres) -> None:
    """Have PostgreSQL log every statement as JSON; restarts it if it did not."""
    if postgres.sql("SHOW log_statement") == "all":
        return
    path = "/etc/postgresql/17/main/conf.d/statements.conf"
    postgres.machine.execute(["sh", "-c", f"cat > {path}"], text=LOGGING)
    postgres.machine.execute(["systemctl", "restart", "postgresql@17-main.service"])
    postgres.start()


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _jobs(host: Host) -> str:
    return host.systemctl("list-jobs", "--no-legend", "--no-pager", check=False)


def records(files: Sequence[Path]) -> list[dict[str, Any]]:
    """The entries of PostgreSQL's log, in the order of the files; a line that is half written is left out."""
    found = []
    for path in files:
        for line in path.read_text(errors="replace").splitlines():
            with suppress(ValueError):
                found.append(json.loads(line))
    return found
