"""The module airkiln_capacity_info. What it does is in src/airkiln_deploy/capacity.py."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from airkiln_deploy import capacity, template
from airkiln_deploy.errors import DeployError

DOCUMENTATION = """
module: airkiln_capacity_info
short_description: Check a plan of stacks against the quotas and instance types of a region
description:
  - Compares what new stacks need with quotas, running instances and Elastic IP addresses, looks whether the
    instance types are offered in the zones, and whether the caller's credentials last. Changes nothing.
options:
  stacks:
    description: The stacks of the filter P(airkiln_plan#filter).
    type: list
    elements: dict
    required: true
  templates:
    description: Folder of the templates.
    type: path
    required: true
  subnets:
    description: Ids of the private subnets. Empty before the network exists.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
    description: Reads only.
extends_documentation_fragment: [amazon.aws.common.modules, amazon.aws.region.modules, amazon.aws.boto3]
author: The Airkiln authors
"""

EXAMPLES = """
- name: Check the quotas and instance types
  airkiln_capacity_info:
    stacks: "{{ airkiln_plan.stacks }}"
    templates: "{{ playbook_dir }}/../cloudformation"
  register: capacity
"""

RETURN = """
problems:
  description: Sentences about what prevents the deployment.
  returned: success
  type: list
  elements: str
warnings_found:
  description: Sentences about what does not prevent it.
  returned: success
  type: list
  elements: str
"""


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "stacks": {"type": "list", "elements": "dict", "required": True},
            "templates": {"type": "path", "required": True},
            "subnets": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        planned = capacity.Planned(given["stacks"], template.templates(given["templates"]), given["subnets"])
        found = capacity.check(module.client, planned, os.environ, datetime.now(UTC))
    except DeployError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, problems=found["problems"], warnings_found=found["warnings"])


if __name__ == "__main__":
    main()
