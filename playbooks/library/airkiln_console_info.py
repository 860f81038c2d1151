"""What an instance that failed said on its console."""

from __future__ import annotations

import re

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

try:
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:  # AnsibleAWSModule says so
    BotoCoreError = ClientError = Exception  # type: ignore[assignment,misc]  # never raised then

DOCUMENTATION = """
module: airkiln_console_info
short_description: What an instance says of itself on its console
description: >-
  Reads the console output of the instances with the given tags, and returns the lines of Airkiln's own.
options:
  tags:
    description: Tags of the instances.
    type: dict
    required: true
  lines:
    description: How many of the last lines are returned.
    type: int
    default: 20
extends_documentation_fragment: [amazon.aws.common.modules, amazon.aws.region.modules, amazon.aws.boto3]
"""

OURS = re.compile(r"airkiln(-[a-z]+)?(\[\d+\])?: (?P<line>.*)")


def own_lines(console: str, count: int) -> list[str]:
    """The last `count` lines that Airkiln's programs wrote, in order, each once."""
    found = [match["line"].strip() for match in map(OURS.search, console.splitlines()) if match]
    return list(dict.fromkeys(line for line in found if line))[-count:]


def main() -> None:
    """The module."""
    module = AnsibleAWSModule(
        argument_spec={
            "tags": {"type": "dict", "required": True},
            "lines": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    ec2 = module.client("ec2")
    lines: list[str] = []
    try:
        found = ec2.describe_instances(
            Filters=[
                {"Name": f"tag:{key}", "Values": [value]} for key, value in module.params["tags"].items()
            ]
            + [{"Name": "instance-state-name", "Values": ["running", "stopping", "stopped"]}]
        )["Reservations"]
        for instance in (each for reservation in found for each in reservation["Instances"]):
            output = ec2.get_console_output(InstanceId=instance["InstanceId"]).get("Output", "")
            lines += [
                f"{instance['InstanceId']}: {line}" for line in own_lines(output, module.params["lines"])
            ]
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="The console cannot be read")
    module.exit_json(changed=False, lines=lines)


if __name__ == "__main__":
    main()
