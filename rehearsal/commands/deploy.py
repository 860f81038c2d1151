"""``python -m rehearsal deploy``: playbooks/deploy.yml on the emulated AWS, and what its stacks declare runs.

What exists already is used again, as an operator's second run does. Ends with a table of the environment.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import astuple, fields

from rehearsal.aws import session
from rehearsal.aws.services.elbv2.haproxy import HAProxy
from rehearsal.commands.up import build_parts, only_one, require_free_port, run_dag
from rehearsal.deployment.airflow_api import Airflow
from rehearsal.deployment.environment import HTTPS, Environment, Row
from rehearsal.deployment.image import baked_image, run_logged
from rehearsal.deployment.instances import ENVIRONMENT_TAG, STARTED, present
from rehearsal.deployment.seed import Login
from rehearsal.errors import RehearsalError
from rehearsal.linux.machine import AUTOFS
from rehearsal.linux.network import Network
from rehearsal.progress import Stages
from rehearsal.region import Region
from rehearsal.waiting import wait_until

STAGES = 10


def deploy(region: Region, port: int, hosts: int = 1, stages: Stages | None = None) -> None:
    """Deploy an environment, run the example DAG, and print the table and the way in.

    :param port: where the UI opens on 127.0.0.1.
    :param hosts: number of instances of each role.
    :raises RehearsalError: something failed; the text says what to look at.
    """
    stages = stages or Stages(STAGES, sys.stdout)
    session.require_root()
    if not AUTOFS.exists():
        raise RehearsalError(
            f"There is no {AUTOFS}, so no instance could set up the automount of its file system, "
            "and none would signal its stack. Load the kernel's module: `modprobe autofs4`."
        )
    with only_one(region):
        require_free_port(region, port)
        build_parts(region, stages)
        with stages.stage("Root filesystem of HAProxy", region.logs / "load-balancer.log"):
            HAProxy(region).build()
        with stages.stage("Network, emulated AWS", region.logs / "aws.log"):
            session.start(region)
        network = Network(region)
        environment = Environment(region, hosts=hosts)
        with network.visit():
            login = _deploy(environment, stages)
            network.forward(port, environment.load_balancer(), HTTPS)
        _use(environment.airflow(port, login), stages)
        with network.visit():
            rows = environment.table()
    stages.note("")
    for line in table(rows):
        stages.note(line)
    stages.note("")
    stages.note(f"Airflow   https://127.0.0.1:{port}")
    stages.note(f"trust     {environment.authority}, or accept the browser's warning")
    stages.note(f"login     {login.username} / {login.password}")
    stages.note("hosts     python -m rehearsal exec INSTANCE, python -m rehearsal journal INSTANCE")
    stages.note(f"took      {stages.elapsed():.0f} s; `python -m rehearsal down` removes every trace")


def table(rows: Sequence[Row]) -> list[str]:
    """The lines of a table with a heading."""
    cells = [tuple(field.name for field in fields(Row)), *(astuple(row) for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(cells[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


def _deploy(environment: Environment, stages: Stages) -> Login:
    region = environment.region
    others = [each for each in present() if each["tags"].get(ENVIRONMENT_TAG) not in (None, environment.name)]
    if others:
        raise RehearsalError(
            "Another environment runs in this rehearsal. Name another rehearsal (AIRKILN_REHEARSAL=stacks), "
            "or end this one: `python -m rehearsal down`."
        )
    image = baked_image(region, stages)
    with stages.stage("DAGs, certificate, hosted zone, inventory"):
        environment.prepare(image)
    log = region.logs / "deploy.log"
    with stages.stage("playbooks/deploy.yml", log):
        run_logged(region, environment.playbook("deploy"), log, stages)
    return environment.login()


def _use(airflow: Airflow, stages: Stages) -> None:
    """Wait for Airflow and run the example DAG, by the way that a person takes."""
    with stages.stage("Airflow is healthy"):
        wait_until("every component of Airflow is healthy", lambda: not airflow.unhealthy(), STARTED)
    with stages.stage("DAG hello_airkiln on a worker"):
        run_dag(airflow)
