"""Has AWS make the role with which one of its services acts in the account."""

from __future__ import annotations

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

try:
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:  # AnsibleAWSModule says so
    BotoCoreError = ClientError = Exception  # type: ignore[assignment,misc]  # never raised then

DOCUMENTATION = """
module: airkiln_service_role
short_description: A service-linked role of an AWS account
description: >-
  Has a service-linked role made where the account has none yet. It is the account's and not an
  environment's: it is never deleted.
options:
  service:
    description: The service, such as autoscaling.amazonaws.com.
    type: str
    required: true
extends_documentation_fragment: [amazon.aws.common.modules, amazon.aws.region.modules, amazon.aws.boto3]
"""


def main() -> None:
    """The module."""
    module = AnsibleAWSModule(
        argument_spec={"service": {"type": "str", "required": True}}, supports_check_mode=True
    )
    service = module.params["service"]
    iam = module.client("iam")
    there = False
    try:
        # By its path: its name is the service's to choose.
        there = bool(iam.list_roles(PathPrefix=f"/aws-service-role/{service}/")["Roles"])
        if not there and not module.check_mode:
            iam.create_service_linked_role(AWSServiceName=service)
    except ClientError as error:
        if "has been taken" not in str(error):  # somebody made it meanwhile
            module.fail_json_aws(error, msg=f"The role of {service} cannot be had")
    except BotoCoreError as error:
        module.fail_json_aws(error, msg=f"The role of {service} cannot be had")
    module.exit_json(changed=not there)


if __name__ == "__main__":
    main()
