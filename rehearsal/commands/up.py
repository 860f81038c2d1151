"""``make rehearse SIZE=one``: bakes an image, boots one instance of it and runs a DAG, in timed stages.

What exists already is used again: a second run bakes only if an ingredient of the image has changed, and
replaces an instance only if it does not serve or comes from another image.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address
from typing import TextIO

from rehearsal.aws import session
from rehearsal.aws.client import client
from rehearsal.aws.instances import find_machine
from rehearsal.aws.services.rds.postgres import Postgres
from rehearsal.commands.packer import build_in_background
from rehearsal.commands.summary import say_ways_in
from rehearsal.deployment import parameters
from rehearsal.deployment.airflow_api import Airflow
from rehearsal.deployment.image import baked_image
from rehearsal.deployment.instances import (
    ENVIRONMENT_TAG,
    STARTED,
    WEB_PORT,
    launch_role,
    prepare_database,
    present,
    sort_out,
    wait_for_airflow,
)
from rehearsal.deployment.seed import Login, seed
from rehearsal.errors import RehearsalError
from rehearsal.linux.network import Network
from rehearsal.linux.rootfs import build_rootfs
from rehearsal.progress import Stages
from rehearsal.region import NAME_VARIABLE, PORT_VARIABLE, Region
from rehearsal.waiting import wait_until

DAG = "hello_airkiln"
STAGES = 10
"""Of this command; `make rehearse` has one more before it."""
SIZE = ("SIZE=one",)
"""The variable of `make rehearse` that selects this command."""
STARTED_VARIABLE = "AIRKILN_STARTED"
"""When `make rehearse` began its set-up, in seconds since 1970."""


def up(region: Region, port: int, stages: Stages | None = None) -> None:
    """Do all of it, and print address and login.

    :param port: where the UI opens on 127.0.0.1.
    :raises RehearsalError: something failed; the text says what to look at.
    """
    stages = stages or first_stages(STAGES)
    session.require_root()
    with only_one(region):
        require_free_port(region, port, SIZE)
        build_parts(region, stages)
        with stages.stage("Network, emulated AWS", region.logs / "aws.log"):
            session.start(region)
        network = Network(region)
        with network.visit():
            address, login = _boot(region, stages)
        # A port that an earlier run opened stays open.
        before = [int(at) for at, to in network.forwards().items() if to.endswith(f":{WEB_PORT}")]
        for opened in dict.fromkeys([*before, port]):
            network.forward(opened, IPv4Address(address), WEB_PORT)
    say_ways_in(region, stages, [f"Airflow   http://127.0.0.1:{port}"], login, "all")


def first_stages(total: int, out: TextIO = sys.stdout) -> Stages:
    """The stages; the first is the set-up of `make rehearse`, if that has started this command.

    :param total: number of the command's own stages.
    """
    try:
        seconds = max(0.0, time.time() - float(os.environ[STARTED_VARIABLE]))
    except (KeyError, ValueError):
        return Stages(total, out)
    stages = Stages(total + 1, out)
    stages.earlier("Set-up", seconds)
    return stages


def build_parts(region: Region, stages: Stages) -> None:
    """Build the root filesystems and, at the same time, Packer."""
    with build_in_background(region) as packer:
        with stages.stage("Root filesystem of Debian 13", region.logs / "rootfs.log"):
            build_rootfs(region)
        with stages.stage("Root filesystem of PostgreSQL 17", region.logs / "postgres.log"):
            Postgres(region).build()
        with stages.stage("Packer", packer.log if packer else None):
            if packer is None:
                stages.remark("as $PACKER names it")
            else:
                packer.wait(stages)


@contextlib.contextmanager
def only_one(region: Region) -> Iterator[None]:
    """Refuse a second run at the same time: both would launch and terminate each other's instances."""
    region.prepare()
    with (region.home / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RehearsalError(
                "Another run of this rehearsal is going on. Wait until it ends, which "
                f"{region.make('rehearse-status')} shows, or give this one a name of its own "
                f"({NAME_VARIABLE}=other)."
            ) from None
        yield


def require_free_port(region: Region, port: int, size: Sequence[str] = ()) -> None:
    """Raise RehearsalError if another program uses the port: now, and not after the bake.

    :param size: the variables with which `make rehearse` runs this command.
    """
    network = Network(region)
    if network.exists() and str(port) in network.forwards():
        return
    with socket.socket() as probe:
        # Without it, connections that have ended would count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as busy:
            raise RehearsalError(
                f"Another program uses 127.0.0.1:{port}, where Airflow's UI was to open. Choose another "
                f"port: {region.make('rehearse', *size, f'{PORT_VARIABLE}={port + 1}')}."
            ) from busy


def _boot(region: Region, stages: Stages) -> tuple[str, Login]:
    if client("rds").describe_db_instances()["DBInstances"]:
        raise RehearsalError(
            "A deployed environment has the database server of this rehearsal. Name another rehearsal "
            f"({NAME_VARIABLE}=one), or end this one: {region.make('rehearse-down')}."
        )
    image = baked_image(region, stages)
    postgres = Postgres(region)
    with stages.stage("PostgreSQL 17"):
        database_kept = postgres.machine.running()
        postgres.start()
    with stages.stage("Parameters, queue, DAGs"):
        login = seed(postgres)

    def airflow_at(address: str) -> Airflow:
        return Airflow(f"http://{address}:{WEB_PORT}", login.username, login.password)

    with stages.stage("Database: migrate, first administrator"):
        instances = [each for each in present() if each["tags"].get(ENVIRONMENT_TAG) == parameters.NAME]
        serves = database_kept and (lambda address: not airflow_at(address).unhealthy())
        reused, others = sort_out(instances, image, serves or (lambda _: False))
        if others:
            client("ec2").terminate_instances(InstanceIds=others)
        if reused:
            stages.remark("done before")
        else:
            prepare_database(region, image)
    with stages.stage("Airflow on one instance (role all)"):
        name, address = reused or launch_role(region, image, "all")
        machine = find_machine(region, name)
        if reused:
            stages.remark("runs already")
            machine.execute(["systemctl", "reload", "airkiln-boot.service"])
        wait_for_airflow(machine, airflow_at(address))
    with stages.stage(f"DAG {DAG}"):
        run_dag(airflow_at(address), region.make("rehearse-logs"))
    return address, login


def run_dag(airflow: Airflow, logs: str) -> set[str]:
    """Run the example DAG. RehearsalError unless it succeeds.

    :param logs: the command that shows why a DAG is not parsed or its tasks do not run.
    :returns: the addresses of the hosts that ran its tasks.
    """
    hint = f"See {logs}."
    wait_until(f"the DAG {DAG} is parsed", lambda: airflow.knows(DAG), STARTED, hint)
    run = airflow.run(DAG)
    state = airflow.wait_for(DAG, run, STARTED)
    if state != "success":
        raise RehearsalError(
            f"The run {run} of {DAG} is {state}, not success; see {airflow.url}/dags/{DAG}, and {logs}."
        )
    return {str(task["hostname"]) for task in airflow.task_instances(DAG, run)}
