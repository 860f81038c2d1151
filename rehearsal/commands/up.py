"""``make rehearse``: the main job from end to end, in stages that are told and timed.

Base image, bake, database, the environment's parameters, the database step, one instance with the role
``all``, an example DAG. What stands already is kept: a second run bakes again only if something that an image
is made of has changed, and replaces an instance only if it does not serve or comes from another image.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from rehearsal.aws import session
from rehearsal.deployment import bake, parameters
from rehearsal.deployment.airflow_api import Airflow
from rehearsal.deployment.parameters import Login
from rehearsal.deployment.postgres import Postgres
from rehearsal.linux.machine import Machine
from rehearsal.linux.network import Network
from rehearsal.linux.processes import ControlGroup
from rehearsal.progress import Stages
from rehearsal.region import PORT_VARIABLE, REPOSITORY, Region, RehearsalError

DAG = "hello_airkiln"
WEB_PORT = 8080
"""Where an instance serves."""
INGREDIENTS = (
    "packer",
    "playbooks",
    "roles",
    "src",
    "rehearsal/aws/stub_agents",
    "rehearsal/deployment/bake.py",
    "pyproject.toml",
)
"""What an image is made of, besides the base image."""
ROLE_TAG = "airkiln:role"
ENVIRONMENT_TAG = "airkiln:environment"
POOL_TAG = "airkiln:pool"
"""On workers that a group launches."""

_TASK = re.compile(r"TASK \[(.+?)\] \*+")


def up(region: Region, port: int, stages: Stages | None = None) -> None:
    """Do all of it, print the address and the login. Raises RehearsalError with what to look at.

    :param port: where the UI opens on 127.0.0.1.
    """
    session.require_root()
    stages = stages or Stages(7)
    with only_one(region):
        require_free_port(region, port)
        with stages.stage("Debian 13 base, network, local AWS", region.logs / "aws.log"):
            session.start(region)
        network = Network(region)
        with network.visit():
            address, login = _boot(region, stages)
        # Where the UI was opened before, it goes on to open.
        before = [int(at) for at, to in network.forwards().items() if to.endswith(f":{WEB_PORT}")]
        for opened in dict.fromkeys([*before, port]):
            network.forward(opened, IPv4Address(address), WEB_PORT)
    stages.note("")
    stages.note(f"Airflow   http://127.0.0.1:{port}")
    stages.note(f"login     {login.username} / {login.password}")
    stages.note(f"took      {stages.elapsed():.0f} s; `make rehearse-down` removes every trace")


@contextlib.contextmanager
def only_one(region: Region) -> Iterator[None]:
    """Two of them would launch and terminate each other's instances: the second is refused."""
    region.prepare()
    with (region.home / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RehearsalError("Another `make rehearse` is at work here; wait until it ends.") from None
        yield


def require_free_port(region: Region, port: int) -> None:
    """Say at once, and not after the bake, that the UI could not be opened where it is to be."""
    network = Network(region)
    if network.exists() and str(port) in network.forwards():
        return
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # connections that have ended do not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as busy:
            raise RehearsalError(
                f"Another program uses 127.0.0.1:{port}, where Airflow's UI was to open; choose another "
                f"port, as in `make rehearse {PORT_VARIABLE}={port + 1}`."
            ) from busy


def _boot(region: Region, stages: Stages) -> tuple[str, Login]:
    image = baked_image(region, stages)
    postgres = Postgres(region)
    with stages.stage("PostgreSQL 17"):
        database_kept = postgres.machine.running()
        postgres.start()
    with stages.stage("Parameters, queue, DAGs"):
        login = parameters.prepare(postgres)

    def airflow_at(address: str) -> Airflow:
        return Airflow(f"http://{address}:{WEB_PORT}", login.username, login.password)

    with stages.stage("Database: migrate, first administrator"):
        instances = [each for each in present() if each["tags"].get(ENVIRONMENT_TAG) == parameters.NAME]
        serves = database_kept and (lambda address: not airflow_at(address).unhealthy())
        kept, others = sort_out(instances, image, serves or (lambda _: False))
        if others:
            session.client("ec2").terminate_instances(InstanceIds=others)
        if kept:
            stages.remark("done before")
        else:
            prepare_database(region, image)
    with stages.stage("Airflow on one instance (role all)"):
        name, address = kept or launch(region, image, "all")
        machine = session.find_machine(region, name)
        if kept:
            stages.remark("runs already")
            machine.execute(["systemctl", "reload", "airkiln-boot.service"])
        wait_for_airflow(machine, airflow_at(address))
    with stages.stage(f"DAG {DAG}"):
        run_dag(airflow_at(address))
    return address, login


def present() -> list[dict[str, Any]]:
    """The instances that are not on their way out."""
    return session.instances("pending", "running", "stopping", "stopped")


def sort_out(
    instances: Sequence[dict[str, Any]], image: str, serves: Callable[[str], bool]
) -> tuple[tuple[str, str] | None, list[str]]:
    """Which instance of an environment is kept (its id and address), and the ids of those to terminate.

    Kept is the first that has the role ``all``, comes from this image, runs, and serves at its address.
    """
    kept = None
    others = []
    for each in instances:
        fits = (
            each["tags"].get(ROLE_TAG) == "all"
            and each["ImageId"] == image
            and each["State"]["Name"] == "running"
        )
        if kept is None and fits and serves(each["PrivateIpAddress"]):
            kept = (str(each["InstanceId"]), str(each["PrivateIpAddress"]))
        else:
            others.append(str(each["InstanceId"]))
    return kept, others


def baked_image(region: Region, stages: Stages) -> str:
    """Id of the image of this tree, baked unless it is there already."""
    digest = ingredients_digest()
    ec2 = session.client("ec2")
    record = region.images / "baked.json"
    known = json.loads(record.read_text()) if record.exists() else {}
    images = {image["ImageId"] for image in ec2.describe_images(Owners=["self"])["Images"]}
    log = region.logs / "bake.log"
    if bake.packer() is None:
        stages.note("Packer cannot be had here: playbooks/image.yml bakes without it.")
    with stages.stage(f"Image, by {bake.tool()}", log):
        if known.get("digest") == digest and known.get("image") in images:
            stages.remark("baked before")
            return str(known["image"])
        image = bake.bake(region, lambda command: run_logged(region, command, log, stages))
        record.write_text(json.dumps({"digest": digest, "image": image}) + "\n")
        return image


def ingredients_digest() -> str:
    """SHA-256 over the names and contents of what an image is made of."""
    digest = hashlib.sha256()
    for name in INGREDIENTS:
        top = REPOSITORY / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(REPOSITORY)}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def run_logged(region: Region, command: list[str], log: Path, stages: Stages) -> None:
    """Run a command in the region, its output in the log and Ansible's task names on the stage's line.

    Whatever ends it, nothing that it started is left running.
    """
    try:
        with (
            log.open("w") as output,
            subprocess.Popen(
                session.region_command(region, command, group=session.BAKE),
                env=session.environment(region),
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            ) as process,
        ):
            for line in process.stdout or ():
                output.write(line)
                output.flush()
                if found := _TASK.search(line):
                    stages.detail(found[1])
    finally:
        ControlGroup(region, session.BAKE).end(grace=2.0)
    if process.returncode:
        raise RehearsalError(f"{Path(command[0]).name} failed with status {process.returncode}; see {log}.")


def launch(region: Region, image: str, role: str) -> tuple[str, str]:
    """Launch an instance with a role; returns its id and private address."""
    tags = {"Name": role, ENVIRONMENT_TAG: parameters.NAME, ROLE_TAG: role}
    return session.launch(region, image, tags, profile=parameters.PROFILE)


def prepare_database(region: Region, image: str) -> None:
    """The database step of a deployment: a short-lived instance that migrates and makes the administrator."""
    name, _ = launch(region, image, "database")
    machine = session.find_machine(region, name)

    def finished() -> bool:
        raise_if_failed(machine)
        asked = ["systemctl", "show", "--value", "--property=ActiveState", "airkiln-database.service"]
        return machine.execute(asked).stdout.strip() == "active"

    machine.wait_until_booted()
    wait_until("the database is migrated", finished, 180, machine)
    session.client("ec2").terminate_instances(InstanceIds=[name])


def wait_for_airflow(machine: Machine, airflow: Airflow) -> None:
    """Wait until systemd has nothing left to start and every component says that it is healthy."""
    machine.wait_until_booted()

    def healthy() -> bool:
        raise_if_failed(machine)
        jobs = machine.execute(["systemctl", "list-jobs", "--no-legend", "--no-pager"]).stdout.strip()
        return not jobs and not airflow.unhealthy()

    wait_until("Airflow is healthy", healthy, 180, machine)


def raise_if_failed(machine: Machine) -> None:
    """RehearsalError with the end of the journal if systemd has given up a unit of ours."""
    asked = ["systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager"]
    failed = [line.split()[0] for line in machine.execute([*asked, "air*"]).stdout.splitlines()]
    if failed:
        units = [f"--unit={unit}" for unit in failed]
        journal = machine.execute(["journalctl", "--no-pager", "--lines=20", "--output=cat", *units]).stdout
        raise RehearsalError(f"{', '.join(failed)} failed on {machine.name}:\n{journal.rstrip()}")


def run_dag(airflow: Airflow) -> None:
    """Run the example and see it succeed."""
    wait_until(f"the DAG {DAG} is parsed", lambda: airflow.knows(DAG), 60)
    run = airflow.run(DAG)
    state = airflow.wait_for(DAG, run, 120)
    if state != "success":
        raise RehearsalError(f"The run {run} of {DAG} is {state}, not success; see {airflow.url}/dags/{DAG}.")


def wait_until(
    what: str, true: Callable[[], bool], seconds: float, machine: Machine | None = None, *, every: float = 0.1
) -> None:
    """Ask again and again until it is so; RehearsalError when the time is up, with where to look."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            look = f" See `python -m rehearsal journal {machine.name}`." if machine else ""
            raise RehearsalError(f"Waited {seconds:.0f} s in vain until {what}.{look}")
        time.sleep(every)
