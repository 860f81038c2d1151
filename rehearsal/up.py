"""``make rehearse``: the main job from end to end, in stages that are told and timed.

Base image, bake, database, the environment's parameters, the database step, one instance with the role ``all``,
an example DAG. What stands already is kept: a second run bakes again only if something that an image is made of
has changed.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

from rehearsal import bake, control, environment
from rehearsal.airflow import Airflow
from rehearsal.environment import Login
from rehearsal.network import Network
from rehearsal.postgres import Postgres
from rehearsal.settings import REPOSITORY, RehearsalError, Region
from rehearsal.stages import Stages

DAG = "hello_airkiln"
UI_PORT = 8080
INGREDIENTS = ("packer", "playbooks", "roles", "src", "rehearsal/standins", "rehearsal/bake.py", "pyproject.toml")
"""What an image is made of, besides the base image."""

_TASK = re.compile(r"TASK \[(.+?)\] \*+")


def up(region: Region, stages: Stages | None = None) -> None:
    """Do all of it, print the address and the login. Raises RehearsalError with what to look at."""
    control.require_root()
    stages = stages or Stages(7)
    with stages.stage("Debian 13 base image, network, local AWS", region.logs / "aws.log"):
        control.start(region)
    network = Network(region)
    with network.visit():
        address, login = _boot(region, stages)
    network.forward(UI_PORT, IPv4Address(address), UI_PORT)
    stages.note("")
    stages.note(f"Airflow   http://127.0.0.1:{UI_PORT}")
    stages.note(f"login     {login.username} / {login.password}")
    stages.note(f"took      {stages.elapsed():.0f} s; `make rehearse-down` removes every trace")


def _boot(region: Region, stages: Stages) -> tuple[str, Login]:
    image = baked_image(region, stages)
    postgres = Postgres(region)
    with stages.stage("PostgreSQL 17"):
        postgres.start()
    with stages.stage("Parameters, queue, DAGs"):
        login = environment.prepare(region, postgres)
    with stages.stage("Database step: migrate, first administrator"):
        prepare_database(region, image)
    with stages.stage("Airflow on one instance (role all)"):
        _, address = launch(region, image, "all")
        airflow = Airflow(f"http://{address}:{UI_PORT}", login.username, login.password)
        wait_until("Airflow is healthy", lambda: not airflow.unhealthy(), 180)
    with stages.stage(f"DAG {DAG}"):
        run_dag(airflow)
    return address, login


def baked_image(region: Region, stages: Stages) -> str:
    """Id of the image of this tree, baked unless it is there already."""
    digest = ingredients_digest()
    ec2 = control.client("ec2")
    record = region.images / "baked.json"
    known = json.loads(record.read_text()) if record.exists() else {}
    present = {image["ImageId"] for image in ec2.describe_images(Owners=["self"])["Images"]}
    log = region.logs / "bake.log"
    tool = "packer build" if bake.packer() else "playbooks/image.yml, as no Packer can be had"
    with stages.stage(f"Image, by {tool}", log):
        if known.get("digest") == digest and known.get("image") in present:
            stages.detail("as baked before")
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
    """Run a command in the region, its output in the log and Ansible's task names on the stage's line."""
    with (
        log.open("w") as output,
        subprocess.Popen(
            control.region_command(region, command),
            env=control.environment(),
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
    if process.returncode:
        raise RehearsalError(f"{Path(command[0]).name} failed with status {process.returncode}; see {log}.")


def launch(region: Region, image: str, role: str) -> tuple[str, str]:
    """Launch an instance with a role; returns its id and private address."""
    tags = {"Name": role, "airkiln:environment": environment.NAME, "airkiln:role": role}
    return control.launch(region, image, tags, profile=environment.PROFILE)


def prepare_database(region: Region, image: str) -> None:
    """The database step of a deployment: a short-lived instance that migrates and makes the administrator."""
    name, _ = launch(region, image, "database")
    machine = control.find_machine(region, name)

    def finished() -> bool:
        asked = ["systemctl", "show", "--value", "--property=ActiveState", "airkiln-database.service"]
        state = machine.execute(asked).stdout.strip()
        if state == "failed":
            journal = machine.execute(["journalctl", "--no-pager", "--lines=20", "--unit=airkiln-*"]).stdout
            raise RehearsalError(f"The database step failed on {name}:\n{journal}")
        return state == "active"

    machine.wait_until_booted()
    wait_until("the database step is done", finished, 180)
    control.client("ec2").terminate_instances(InstanceIds=[name])


def run_dag(airflow: Airflow) -> None:
    """Run the example and see it succeed."""
    wait_until(f"the DAG {DAG} is parsed", lambda: airflow.knows(DAG), 60)
    run = airflow.run(DAG)
    state = airflow.wait_for(DAG, run, 120)
    if state != "success":
        raise RehearsalError(f"The run {run} of {DAG} is {state}, not success; see {airflow.url}/dags/{DAG}.")


def wait_until(what: str, true: Callable[[], bool], seconds: float) -> None:
    """Ask again and again until it is so; RehearsalError when the time is up."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise RehearsalError(f"Waited {seconds:.0f} s in vain until {what}.")
        time.sleep(0.1)
