"""Instances of an environment: launched with a role, waited for, and reused or replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rehearsal.aws.client import client
from rehearsal.aws.instances import find_machine, launch_instance, list_instances
from rehearsal.deployment import parameters
from rehearsal.deployment.airflow_api import Airflow
from rehearsal.errors import RehearsalError
from rehearsal.linux.machine import Machine
from rehearsal.region import Region
from rehearsal.waiting import wait_until

WEB_PORT = 8080
"""Port of the web server on an instance."""
STARTED = 180.0
"""Seconds for an instance to boot, and again for its units: ten times what they take on two idle cores."""
ROLE_TAG = "airkiln:role"
ENVIRONMENT_TAG = "airkiln:environment"
POOL_TAG = "airkiln:pool"
"""On workers that an Auto Scaling group launches."""


def present() -> list[dict[str, Any]]:
    """The instances that are not terminated or terminating."""
    return list_instances("pending", "running", "stopping", "stopped")


def sort_out(
    instances: Sequence[dict[str, Any]], image: str, serves: Callable[[str], bool]
) -> tuple[tuple[str, str] | None, list[str]]:
    """Decide which instance of an environment is reused, and which are terminated.

    The first that has the role ``all``, comes from this image, runs, and serves at its address is reused.

    :returns: id and address of the instance that is reused, or None; and the ids of all others.
    """
    reused = None
    others = []
    for each in instances:
        fits = (
            each["tags"].get(ROLE_TAG) == "all"
            and each["ImageId"] == image
            and each["State"]["Name"] == "running"
        )
        if reused is None and fits and serves(each["PrivateIpAddress"]):
            reused = (str(each["InstanceId"]), str(each["PrivateIpAddress"]))
        else:
            others.append(str(each["InstanceId"]))
    return reused, others


def launch_role(region: Region, image: str, role: str) -> tuple[str, str]:
    """Launch an instance with a role; returns its id and private address."""
    tags = {"Name": role, ENVIRONMENT_TAG: parameters.NAME, ROLE_TAG: role} | parameters.task_role_tag()
    return launch_instance(region, image, tags, profile=parameters.PROFILE)


def prepare_database(region: Region, image: str) -> None:
    """Run the database step: a short-lived instance migrates and creates the first administrator."""
    name, _ = launch_role(region, image, "database")
    machine = find_machine(region, name)

    def finished() -> bool:
        raise_if_failed(machine)
        asked = ["systemctl", "show", "--value", "--property=ActiveState", "airkiln-database.service"]
        return machine.execute(asked).stdout.strip() == "active"

    machine.wait_until_booted(STARTED)
    wait_until("the database is migrated", finished, STARTED, machine.hint)
    client("ec2").terminate_instances(InstanceIds=[name])


def wait_for_airflow(machine: Machine, airflow: Airflow) -> None:
    """Wait until systemd has no job left and every component reports that it is healthy."""
    machine.wait_until_booted(STARTED)

    def healthy() -> bool:
        raise_if_failed(machine)
        jobs = machine.execute(["systemctl", "list-jobs", "--no-legend", "--no-pager"]).stdout.strip()
        return not jobs and not airflow.unhealthy()

    wait_until("Airflow is healthy", healthy, STARTED, machine.hint)


def raise_if_failed(machine: Machine) -> None:
    """Raise RehearsalError with the end of the journal if one of our units is in the state failed."""
    asked = ["systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager"]
    failed = [line.split()[0] for line in machine.execute([*asked, "air*"]).stdout.splitlines()]
    if failed:
        units = [f"--unit={unit}" for unit in failed]
        journal = machine.execute(["journalctl", "--no-pager", "--lines=20", "--output=cat", *units]).stdout
        raise RehearsalError(f"{', '.join(failed)} failed on {machine.name}:\n{journal.rstrip()}")
