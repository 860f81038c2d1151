"""The module airkiln_console_info. What it does is in src/airkiln_deploy/console.py."""

from __future__ import annotations

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from airkiln_deploy import console
from airkiln_deploy.errors import DeployError

DOCUMENTATION = """
module: airkiln_console_info
short_description: Read what Airkiln wrote to the console of instances
description:
  - Returns the lines that Airkiln's own programs wrote to the console of the instances with the given tags.
options:
  tags:
    description: Tags of the instances, all of which have to match.
    type: dict
    required: true
  lines:
    description: Most lines to return of each instance. The last ones are returned.
    type: int
    default: 20
attributes:
  check_mode:
    support: full
    description: Reads only.
extends_documentation_fragment: [amazon.aws.common.modules, amazon.aws.region.modules, amazon.aws.boto3]
author: The Airkiln authors
"""

EXAMPLES = """
- name: Read why the database step failed
  airkiln_console_info:
    tags:
      airkiln:environment: prod
      airkiln:role: database
  register: console
"""

RETURN = """
lines:
  description: The lines, each after the id of its instance.
  returned: success
  type: list
  elements: str
  sample: ["i-0123456789abcdef0: airkiln-database.service has failed (exit-code); its last lines:"]
"""


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "tags": {"type": "dict", "required": True},
            "lines": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    try:
        lines = console.read(module.client("ec2"), module.params["tags"], module.params["lines"])
    except DeployError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, lines=lines)


if __name__ == "__main__":
    main()
