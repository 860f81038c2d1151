"""A deployed environment, and what the command that deployed it has printed."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from typing import Any

from rehearsal.aws import session
from rehearsal.aws.client import client
from rehearsal.deployment.environment import Environment, Row
from rehearsal.linux.machine import Machine
from rehearsal.linux.network import Network
from rehearsal.region import REPOSITORY
from tests.support.interruption import interrupted_like_a_terminal_does, started, wait_for
from tests.support.rehearsed import LONGEST, Rehearsed

RECAP = re.compile(r"^airkiln-\S+ +: ok=\d+ +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE)


MOMENTS = ("Create the stack of the step", "Wait for the creation of airkiln-local-webserver")
"""Tasks of deploy.yml during which Ctrl-C is pressed: one instance boots, and those of all roles."""
ROLES = ("database", "webserver", "scheduler", "worker")


@dataclass(frozen=True)
class Interruption:
    """How a deployment ended that was interrupted."""

    status: int
    said: str


@dataclass
class Deployed(Rehearsed):
    """The environment of one rehearsal, with one instance of each role."""

    command = ("deploy", "--hosts", "1")
    interruptions: list[Interruption] = field(default_factory=list)
    launched: dict[str, int] = field(default_factory=dict)
    """How many instances of each role were launched to make it."""

    def make(self) -> None:
        """Begin to deploy it, press Ctrl-C, and deploy it again: once for each of `MOMENTS`."""
        self.interruptions = [self.interrupt(moment) for moment in MOMENTS]
        super().make()
        self.launched = {role: self.instances_of(role) for role in ROLES}

    def interrupt(self, moment: str) -> Interruption:
        """Deploy it until a task of the playbook begins, and press Ctrl-C."""
        log = self.region.logs / "deploy.log"
        log.unlink(missing_ok=True)

        def reached() -> bool:
            return log.exists() and f"TASK [{moment}]" in log.read_text(errors="replace")

        with started(self.region, *self.words) as process:
            wait_for(reached, process, LONGEST)
            interrupted_like_a_terminal_does(process)
            said, _ = process.communicate(timeout=180)
        return Interruption(process.returncode, said)

    @property
    def environment(self) -> Environment:
        return Environment(self.region)

    def playbook(self, name: str, *arguments: str) -> dict[str, int]:
        """Run a playbook on it; returns how many tasks changed something, and how many failed."""
        done = subprocess.run(
            session.region_command(self.region, self.environment.playbook(name, *arguments)),
            cwd=REPOSITORY,
            env=session.environment(self.region) | {"ANSIBLE_NOCOLOR": "1"},
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        found = RECAP.search(done.stdout)
        assert found, done.stdout[-3000:]
        changed, unreachable, failed = (int(number) for number in found.groups())
        assert done.returncode == 0, done.stdout[-3000:]
        return {"changed": changed, "failed": failed + unreachable}

    @property
    def table(self) -> list[Row]:
        """What runs."""
        with Network(self.region).visit():
            return self.environment.table()

    def instance(self, role: str) -> Row:
        """The one instance of a role."""
        (found,) = (row for row in self.table if row.role == role and row.instance.startswith("i-"))
        return found

    def machine(self, role: str) -> Machine:
        """The machine of the one instance of a role."""
        return Machine(self.region, self.instance(role).instance)

    def kept(self) -> dict[str, Any]:
        """What a look must leave as it is: what runs, each stack's last change, each parameter's version."""
        with Network(self.region).visit():
            pages = client("ssm").get_paginator("describe_parameters").paginate()
            parameters = {each["Name"]: each["Version"] for page in pages for each in page["Parameters"]}
        stacks = {
            name: (each["StackId"], each.get("LastUpdatedTime")) for name, each in self.stacks().items()
        }
        return {"instances": self.table, "stacks": stacks, "parameters": parameters}

    def instances_of(self, role: str) -> int:
        """How many instances have a role, those that are terminated included."""
        wanted = [{"Name": "tag:airkiln:role", "Values": [role]}]
        described = self.call("ec2", "describe_instances", Filters=wanted)["Reservations"]
        return sum(len(each["Instances"]) for each in described)

    def stacks(self) -> dict[str, dict[str, Any]]:
        """The stacks by their names without the environment's."""
        prefix = f"airkiln-{self.environment.name}-"
        with Network(self.region).visit():
            listed = client("cloudformation").describe_stacks()["Stacks"]
        return {each["StackName"].removeprefix(prefix): each for each in listed}

    def parameter(self, name: str) -> str:
        """The value of a parameter of the environment, such as ``common/AWS_DEFAULT_REGION``."""
        with Network(self.region).visit():
            path = f"/airkiln/{self.environment.name}/{name}"
            found = client("ssm").get_parameter(Name=path, WithDecryption=True)
        return str(found["Parameter"]["Value"])

    def call(self, service: str, operation: str, **given: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3
        """The answer of the emulated AWS to one request."""
        with Network(self.region).visit():
            answer: dict[str, Any] = getattr(client(service), operation)(**given)
        return answer
