"""What Airkiln's programs wrote to an instance's console, to explain a boot that failed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from airkiln_deploy.errors import DeployError

OURS = re.compile(r"airkiln(-[a-z]+)?(\[\d+\])?: (?P<line>.*)")


def own_lines(console: str, count: int) -> list[str]:
    """The last `count` lines that Airkiln's programs wrote, in order, each once."""
    found = [match["line"].strip() for match in map(OURS.search, console.splitlines()) if match]
    return list(dict.fromkeys(line for line in found if line))[-count:]


def read(ec2: Any, tags: Mapping[str, str], count: int) -> list[str]:  # noqa: ANN401 - boto3
    """The last `count` lines of each instance that has all the tags, with the instance's id before each line.

    Raises DeployError when EC2 does not answer.
    """
    filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]
    filters.append({"Name": "instance-state-name", "Values": ["running", "stopping", "stopped"]})
    try:
        return [
            f"{instance['InstanceId']}: {line}"
            for reservation in ec2.describe_instances(Filters=filters)["Reservations"]
            for instance in reservation["Instances"]
            for line in own_lines(_output(ec2, instance["InstanceId"]), count)
        ]
    except (BotoCoreError, ClientError) as error:
        raise DeployError(
            f"The instance's console cannot be read: {error}. Read it in the EC2 console (Get system log)."
        ) from error


def _output(ec2: Any, instance: str) -> str:  # noqa: ANN401 - boto3
    """The console as it is now. Without Latest, EC2 returns what it kept minutes ago, often nothing.

    An instance type without a serial console (Xen) refuses Latest.
    """
    try:
        found = ec2.get_console_output(InstanceId=instance, Latest=True)
    except ClientError as error:
        if error.response["Error"]["Code"] != "UnsupportedOperation":
            raise
        found = ec2.get_console_output(InstanceId=instance)
    return str(found.get("Output", ""))
