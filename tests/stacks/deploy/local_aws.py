"""The local AWS with its CloudFormation as a process, and what stands in for instances on it.

Its instances are records that never boot. Where a stack waits for a signal of one, `Signaller` sends it: a
stand-in for `airkiln signal`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.support.servers import cloudformation

ROOT = Path(__file__).parents[3]
REGION = "eu-west-1"
ACCOUNT = "123456789012"
RUNS_WITHIN = 400
"""Seconds for one playbook."""


@dataclass(frozen=True)
class LocalAws:
    """One server, and clients for it."""

    url: str

    @property
    def variables(self) -> dict[str, str]:
        """What a program needs in its environment to reach it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7REHEARSE",
            "AWS_SECRET_ACCESS_KEY": "a-key-that-opens-nothing-anywhere-at-all",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3
        return botocore.session.get_session().create_client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self.variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.variables["AWS_SECRET_ACCESS_KEY"],
            config=Config(proxies={}),
        )

    def stacks(self, environment: str) -> dict[str, dict[str, Any]]:
        """Every stack of an environment by its name without the environment's."""
        prefix = f"airkiln-{environment}-"
        pages = self.client("cloudformation").get_paginator("describe_stacks").paginate()
        return {
            stack["StackName"].removeprefix(prefix): stack
            for page in pages
            for stack in page["Stacks"]
            if stack["StackName"].startswith(prefix) and stack["StackStatus"] != "DELETE_COMPLETE"
        }

    def parameters(self, environment: str) -> dict[str, dict[str, Any]]:
        """Every parameter of an environment by its path below the environment's folder."""
        pages = (
            self.client("ssm")
            .get_paginator("get_parameters_by_path")
            .paginate(Path=f"/airkiln/{environment}", Recursive=True, WithDecryption=True)
        )
        return {
            each["Name"].removeprefix(f"/airkiln/{environment}/"): each
            for page in pages
            for each in page["Parameters"]
        }

    def traces(self, environment: str) -> dict[str, Any]:
        """All that a deployment could leave: stacks with what they hold, change sets, parameters, roles."""
        cloudformation = self.client("cloudformation")
        stacks = self.stacks(environment)
        return {
            "stacks": {
                name: (
                    stack["StackId"],
                    stack["StackStatus"],
                    sorted((each["ParameterKey"], each["ParameterValue"]) for each in stack["Parameters"]),
                    sorted((each["OutputKey"], each["OutputValue"]) for each in stack.get("Outputs", [])),
                    [
                        (each["LogicalResourceId"], each["PhysicalResourceId"], each["ResourceStatus"])
                        for each in cloudformation.describe_stack_resources(StackName=stack["StackName"])[
                            "StackResources"
                        ]
                    ],
                    cloudformation.list_change_sets(StackName=stack["StackName"])["Summaries"],
                )
                for name, stack in stacks.items()
            },
            "parameters": {
                name: (each["Type"], each["Value"], each["Version"])
                for name, each in self.parameters(environment).items()
            },
            "roles": sorted(role["RoleName"] for role in self.client("iam").list_roles()["Roles"]),
        }


@contextmanager
def serving(log: Path) -> Iterator[LocalAws]:
    """The server, until the block ends. Its output goes to `log`."""
    with cloudformation(log) as url:
        yield LocalAws(url)


class Signaller(threading.Thread):
    """Signals for the instances of every stack that waits; `verdict` says what, by resource."""

    def __init__(self, aws: LocalAws) -> None:
        super().__init__(daemon=True)
        self._cloudformation = aws.client("cloudformation")
        self._ended = threading.Event()
        self.verdict = {"Group": "SUCCESS", "Step": "SUCCESS"}

    def run(self) -> None:
        while not self._ended.wait(0.2):
            with suppress(ClientError, BotoCoreError):  # a stack may go between two calls
                self._look()

    def end(self) -> None:
        self._ended.set()
        self.join()

    def _look(self) -> None:
        for stack in self._cloudformation.describe_stacks()["Stacks"]:
            if stack["StackStatus"] != "CREATE_IN_PROGRESS":
                continue
            name = stack["StackName"]
            for resource in self._cloudformation.describe_stack_resources(StackName=name)["StackResources"]:
                verdict = self.verdict.get(resource["LogicalResourceId"])
                if resource["ResourceStatus"] == "CREATE_IN_PROGRESS" and verdict:
                    for number in range(3):  # the most hosts of any group here
                        with suppress(ClientError):
                            self._cloudformation.signal_resource(
                                StackName=name,
                                LogicalResourceId=resource["LogicalResourceId"],
                                UniqueId=f"i-{number}",
                                Status=verdict,
                            )


@dataclass
class Run:
    """What one playbook did."""

    code: int
    output: str = field(repr=False)

    @property
    def changed(self) -> int:
        """How many tasks changed something on the environment's host."""
        found = re.findall(r"^airkiln-\S+ +: ok=\d+ +changed=(\d+)", self.output, re.MULTILINE)
        assert found, self.output[-3000:]
        return int(found[-1])

    def task(self, name: str) -> str:
        """What was printed of one task."""
        return self.output.split(f"TASK [{name}]", 1)[1].split("\nTASK [", 1)[0]

    @property
    def said(self) -> str:
        """The output as one line of words: YAML wraps its text anywhere."""
        return re.sub(r"[\s\"']+", " ", self.output)


def playbook(
    aws: LocalAws, inventory: Path, name: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> Run:
    """Run a playbook as people do."""
    done = subprocess.run(
        command(inventory, name, *arguments),
        cwd=ROOT,
        env=process_environment(aws) | dict(environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUNS_WITHIN,
        check=False,
    )
    return Run(done.returncode, done.stdout)


def command(inventory: Path, name: str, *arguments: str) -> list[str]:
    """The command line of a playbook."""
    program = Path(sys.executable).with_name("ansible-playbook")
    return [str(program), "--inventory", str(inventory), f"playbooks/{name}.yml", *arguments]


def process_environment(aws: LocalAws) -> dict[str, str]:
    """The environment of a playbook: the machine's, and the local AWS."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "ANSIBLE_"))}
    return {**kept, **aws.variables, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "200"}
