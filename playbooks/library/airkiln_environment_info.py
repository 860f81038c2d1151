"""The module airkiln_environment_info. What it does is in src/airkiln_deploy/environment.py."""

from __future__ import annotations

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from airkiln_deploy import environment
from airkiln_deploy.errors import DeployError

DOCUMENTATION = """
module: airkiln_environment_info
short_description: Gather what AWS holds of one Airkiln environment
description:
  - Reads the caller's account, the available zones, the image and the environment's stacks. Changes nothing.
options:
  environment:
    description: Name of the environment.
    type: str
    required: true
  image_id:
    description: Image that a new environment starts with. Described when it is given.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    description: Reads only.
extends_documentation_fragment: [amazon.aws.common.modules, amazon.aws.region.modules, amazon.aws.boto3]
author: The Airkiln authors
"""

EXAMPLES = """
- name: Wait until CloudFormation has finished with the environment
  airkiln_environment_info:
    environment: prod
    image_id: ami-0123456789abcdef0
  register: facts
  until: facts.moving | length == 0
  retries: 720
  delay: 5
"""

RETURN = """
account:
  description: Number of the caller's account.
  returned: success
  type: str
  sample: "123456789012"
caller:
  description: ARN of the caller.
  returned: success
  type: str
partition:
  description: AWS partition of the account, such as V(aws) or V(aws-cn).
  returned: success
  type: str
region:
  description: Region that was asked.
  returned: success
  type: str
zones:
  description: Names of the availability zones that need no opt-in. Sorted.
  returned: success
  type: list
  elements: str
s3_prefix_list:
  description: Id of S3's managed prefix list in the region, or an empty string.
  returned: success
  type: str
sqs_endpoint:
  description: URL of the region's SQS endpoint.
  returned: success
  type: str
image:
  description:
    - The state and architecture of O(image_id), or null if the account sees no such image.
    - Its C(key_problems) are sentences about keys of its snapshots that Auto Scaling may not use.
  returned: success
  type: dict
infra:
  description: Outputs that earlier deployments mirrored to Parameter Store, each by its path below C(infra).
  returned: success
  type: dict
stacks:
  description:
    - The environment's stacks by name, each with its status, reason, parameters, outputs and tags.
    - Where no stack is moving, each has the digest of its C(template) too; empty where that is not known.
  returned: success
  type: dict
moving:
  description: Names of the stacks that CloudFormation is working on.
  returned: success
  type: list
  elements: str
"""


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "environment": {"type": "str", "required": True},
            "image_id": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        found = environment.facts(module.client, module.region, given["environment"], given["image_id"])
    except DeployError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
