"""The module airkiln_service_role. What it does is in src/airkiln_deploy/service_role.py."""

from __future__ import annotations

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from airkiln_deploy import service_role
from airkiln_deploy.errors import DeployError

DOCUMENTATION = """
module: airkiln_service_role
short_description: Ensure a service-linked role in an AWS account
description:
  - Creates the service-linked role of an AWS service where the account has none yet.
  - The role belongs to the account and not to an environment, so this module never deletes one.
options:
  service:
    description: Name of the service, such as V(autoscaling.amazonaws.com).
    type: str
    required: true
attributes:
  check_mode:
    support: full
    description: Reports whether the role is missing and creates nothing.
extends_documentation_fragment: [amazon.aws.common.modules, amazon.aws.region.modules, amazon.aws.boto3]
author: The Airkiln authors
"""

EXAMPLES = """
- name: Ensure the role of Auto Scaling
  airkiln_service_role:
    service: autoscaling.amazonaws.com
"""

RETURN = """ # """


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={"service": {"type": "str", "required": True}}, supports_check_mode=True
    )
    try:
        missing = service_role.ensure(
            module.client("iam"), module.params["service"], check_mode=module.check_mode
        )
    except DeployError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=missing)


if __name__ == "__main__":
    main()
