"""One run of ``make rehearse SIZE=one`` and what it left running, for the tests that look at it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import cached_property
from typing import Any

from rehearsal.aws.client import client
from rehearsal.aws.instances import launch_instance
from rehearsal.deployment import parameters
from rehearsal.deployment.instances import present
from rehearsal.linux.machine import Machine
from rehearsal.linux.network import Network
from rehearsal.region import REPOSITORY
from tests.support.rehearsed import Rehearsed
from tests.support.waiting import PATIENCE

SUITE = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]


class MainJob(Rehearsed):
    """What ``make rehearse SIZE=one`` makes: one instance, and the database's server."""

    command = ("up",)

    @property
    def instance(self) -> dict[str, Any]:
        """The one instance that serves, as EC2 describes it."""
        with Network(self.region).visit():
            found = [each for each in present() if each["tags"].get("airkiln:role") == "all"]
        assert len(found) == 1, found
        return found[0]

    @cached_property
    def machine(self) -> Machine:
        """The machine of that instance."""
        return Machine(self.region, str(self.instance["InstanceId"]))

    @property
    def image(self) -> str:
        """Id of the baked image."""
        return str(self.instance["ImageId"])

    def launch(self, **tags: str) -> Machine:
        """Another instance of the baked image, booted."""
        named = {f"airkiln:{name}": value for name, value in tags.items()}
        name, _ = launch_instance(self.region, self.image, named, profile=parameters.PROFILE)
        machine = Machine(self.region, name)
        machine.wait_until_booted(PATIENCE)
        return machine

    def terminate(self, machine: Machine) -> None:
        """Terminate an instance."""
        with Network(self.region).visit():
            client("ec2").terminate_instances(InstanceIds=[machine.name])

    def put(self, folder: str, values: dict[str, str]) -> None:
        """Store parameters of the folder, such as ``rehearsal/all``."""
        with Network(self.region).visit():
            ssm = client("ssm")
            for name, value in values.items():
                ssm.put_parameter(
                    Name=f"/airkiln/{folder}/{name}",
                    Value=value,
                    Type="SecureString",
                    Tier="Advanced",
                    Overwrite=True,
                )

    def remove(self, folder: str, names: list[str]) -> None:
        """Delete parameters."""
        with Network(self.region).visit():
            ssm = client("ssm")
            for name in names:
                ssm.delete_parameter(Name=f"/airkiln/{folder}/{name}")

    def parameters(self, folder: str) -> dict[str, str]:
        """The parameters of a folder."""
        with Network(self.region).visit():
            pages = client("ssm").get_paginator("get_parameters_by_path")
            listed = pages.paginate(Path=f"/airkiln/{folder}", WithDecryption=True)
            found = [each for page in listed for each in page["Parameters"]]
        return {each["Name"].rpartition("/")[2]: each["Value"] for each in found}


def show(machine: Machine, unit: str, *properties: str) -> dict[str, str]:
    """Properties of a unit as systemd sees them."""
    asked = ["systemctl", "show", f"--property={','.join(properties)}", unit]
    found: dict[str, str] = {}
    for line in machine.execute(asked).stdout.splitlines():
        name, _, value = line.partition("=")
        found[name] = f"{found[name]} {value}" if name in found else value
    return found


def raw(machine: Machine, *command: str) -> bytes:
    """What a command inside a machine prints, byte for byte."""
    return subprocess.run(machine.inside(*command), check=True, capture_output=True, timeout=PATIENCE).stdout


def suite(job: MainJob, tests: str, *options: str, before: list[str] | None = None) -> None:
    """Run the image suite in a process of its own; none of its tests may fail, and some must have run.

    :param before: shell commands for mounts, which end with the process.
    """
    run = shlex.join([*SUITE, tests, *options])
    script = "\n".join([*(before or []), run])
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "slave", "sh", "-ec", script],
        cwd=REPOSITORY,
        env=job.variables,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"\b\d+ passed", done.stdout), done.stdout
