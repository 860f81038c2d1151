"""``make rehearse``: playbooks/deploy.yml on the emulated AWS, and what its stacks declare runs.

What exists already is used again, as an operator's second run does. Ends with a table of the environment and
the ways into it.
"""

from __future__ import annotations

from rehearsal.aws import session
from rehearsal.aws.services.elbv2.haproxy import HAProxy
from rehearsal.commands.summary import say_ways_in, table
from rehearsal.commands.up import DAG, build_parts, first_stages, only_one, require_free_port, run_dag
from rehearsal.deployment.airflow_api import Airflow
from rehearsal.deployment.environment import HTTPS, Environment
from rehearsal.deployment.image import baked_image, run_logged
from rehearsal.deployment.instances import ENVIRONMENT_TAG, STARTED, present
from rehearsal.deployment.seed import Login
from rehearsal.errors import RehearsalError
from rehearsal.linux.machine import AUTOFS
from rehearsal.linux.network import Network
from rehearsal.progress import Stages
from rehearsal.region import NAME_VARIABLE, Region
from rehearsal.waiting import wait_until

STAGES = 10
"""Of this command; `make rehearse` has one more before it."""
HOSTS = 2
"""Instances of each role, as an environment has them by default."""


def deploy(region: Region, port: int, hosts: int = HOSTS, stages: Stages | None = None) -> None:
    """Deploy an environment, run the example DAG, and print the table and the way in.

    :param port: where the UI opens on 127.0.0.1.
    :param hosts: number of instances of each role.
    :raises RehearsalError: something failed; the text says what to look at.
    """
    stages = stages or first_stages(STAGES)
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
        _use(environment.airflow(port, login), environment, stages)
        with network.visit():
            rows = environment.table()
    stages.note("")
    for line in table(rows):
        stages.note(line)
    address = [
        f"Airflow   https://127.0.0.1:{port}",
        f"trust     {environment.authority}, or accept the browser's warning",
    ]
    say_ways_in(region, stages, address, login, "webserver")


def _deploy(environment: Environment, stages: Stages) -> Login:
    region = environment.region
    others = [each for each in present() if each["tags"].get(ENVIRONMENT_TAG) not in (None, environment.name)]
    if others:
        raise RehearsalError(
            f"Another environment runs in this rehearsal. Name another rehearsal ({NAME_VARIABLE}=stacks), "
            f"or end this one: {region.make('rehearse-down')}."
        )
    image = baked_image(region, stages)
    with stages.stage("DAGs, certificate, hosted zone, inventory"):
        environment.prepare(image)
    log = region.logs / "deploy.log"
    with stages.stage("playbooks/deploy.yml", log):
        run_logged(region, environment.playbook("deploy"), log, stages)
    return environment.login()


def _use(airflow: Airflow, environment: Environment, stages: Stages) -> None:
    """Wait for Airflow and run the example DAG, by the way that a person takes."""
    with stages.stage("Airflow is healthy"):
        wait_until("every component of Airflow is healthy", lambda: not airflow.unhealthy(), STARTED)
    with stages.stage(f"DAG {DAG} on the workers"):
        ran = run_dag(airflow, environment.region.make("rehearse-logs"))
        stages.remark(f"on {len(ran)} of {environment.hosts}")
