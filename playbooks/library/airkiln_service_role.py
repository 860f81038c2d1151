"""The module airkiln_service_role. What it does is in src/airkiln_deploy/service_role.py."""

from __future__ import annotations

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from airkiln_deploy import service_role
from airkiln_deploy.errors import DeployError

DOCUMENTATION = """
module: airkiln_service_role
short_description: Ensure service-linked roles in an AWS account
description:
  - Creates the service-linked role of each AWS service for which the account has none yet.
  - The roles belong to the account and not to an environment, so this module never deletes one.
options:
  services:
    description: Names of the services, such as V(autoscaling.amazonaws.com).
    type: list
    elements: str
    required: true
attributes:
  check_mode:
    support: full
    description: Reports which roles are missing and creates nothing.
extends_documentation_fragment: [amazon.aws.common.modules, amazon.aws.region.modules, amazon.aws.boto3]
author: The Airkiln authors
"""

EXAMPLES = """
- name: Ensure the roles of Auto Scaling and of load balancers
  airkiln_service_role:
    services:
      - autoscaling.amazonaws.com
      - elasticloadbalancing.amazonaws.com
"""

RETURN = """
missing:
  description: The services whose role was missing.
  returned: success
  type: list
  elements: str
"""


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={"services": {"type": "list", "elements": "str", "required": True}},
        supports_check_mode=True,
    )
    try:
        missing = service_role.ensure_each(
            module.client("iam"), module.params["services"], check_mode=module.check_mode
        )
    except DeployError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(missing), missing=missing)


if __name__ == "__main__":
    main()
