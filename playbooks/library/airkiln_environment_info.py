"""What AWS holds of one environment, asked for before anything is changed."""

from __future__ import annotations

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

try:
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
except ImportError:  # AnsibleAWSModule says so
    BotoCoreError = ClientError = NoCredentialsError = Exception  # type: ignore[assignment,misc]  # never raised

DOCUMENTATION = """
module: airkiln_environment_info
short_description: What AWS holds of one Airkiln environment
description: >-
  Asks who calls, which zones and which image there are, and for the stacks of an environment. Changes
  nothing.
options:
  environment:
    description: Name of the environment.
    type: str
    required: true
  image_id:
    description: The image that a new environment begins with; asked for where it is given.
    type: str
    default: ""
extends_documentation_fragment: [amazon.aws.common.modules, amazon.aws.region.modules, amazon.aws.boto3]
"""


def stacks(cloudformation: Any, prefix: str) -> dict[str, dict[str, Any]]:  # noqa: ANN401 - boto3
    """The stacks whose names begin so: status and its reason, parameters, outputs."""
    pages = cloudformation.get_paginator("describe_stacks").paginate()
    return {
        stack["StackName"]: {
            "status": stack["StackStatus"],
            "reason": stack.get("StackStatusReason", ""),
            "parameters": {
                each["ParameterKey"]: each.get("ParameterValue", "") for each in stack.get("Parameters", [])
            },
            "outputs": {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])},
        }
        for page in pages
        for stack in page["Stacks"]
        if stack["StackName"].startswith(prefix) and stack["StackStatus"] != "DELETE_COMPLETE"
    }


def image(ec2: Any, image_id: str) -> dict[str, str] | None:  # noqa: ANN401 - boto3
    """The image's state and architecture, or None if the account sees none of this id."""
    if not image_id:
        return None
    try:
        found = ec2.describe_images(ImageIds=[image_id])["Images"]
    except ClientError as error:
        if str(error.response["Error"]["Code"]).startswith("InvalidAMI"):
            return None
        raise
    if not found:
        return None
    return {"state": found[0].get("State", ""), "architecture": found[0].get("Architecture", "")}


def mirrored(ssm: Any, folder: str) -> dict[str, str]:  # noqa: ANN401 - boto3
    """What earlier deployments wrote below the folder, by the path below it."""
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=folder, Recursive=True)
    return {
        each["Name"].removeprefix(f"{folder}/"): each["Value"]
        for page in pages
        for each in page["Parameters"]
    }


def facts(module: Any) -> dict[str, Any]:  # noqa: ANN401 - AnsibleAWSModule
    """Everything at once. Raises what botocore raises."""
    sts, ec2 = module.client("sts"), module.client("ec2")
    caller = sts.get_caller_identity()
    zones = ec2.describe_availability_zones(
        Filters=[
            {"Name": "opt-in-status", "Values": ["opt-in-not-required"]},
            {"Name": "state", "Values": ["available"]},
        ]
    )["AvailabilityZones"]
    region = module.region
    lists = ec2.describe_prefix_lists(
        Filters=[{"Name": "prefix-list-name", "Values": [f"com.amazonaws.{region}.s3"]}]
    )["PrefixLists"]
    environment = module.params["environment"]
    found = stacks(module.client("cloudformation"), f"airkiln-{environment}-")
    return {
        "account": caller["Account"],
        "caller": caller["Arn"],
        "partition": caller["Arn"].split(":")[1],
        "region": region,
        "zones": sorted(
            zone["ZoneName"]
            for zone in zones
            if zone.get("ZoneType", "availability-zone") == "availability-zone"
        ),
        "s3_prefix_list": next((each["PrefixListId"] for each in lists), ""),
        "sqs_endpoint": module.client("sqs").meta.endpoint_url,
        "image": image(ec2, module.params["image_id"]),
        "infra": mirrored(module.client("ssm"), f"/airkiln/{environment}/infra"),
        "stacks": found,
        "moving": [
            name
            for name, stack in found.items()
            if stack["status"].endswith("_IN_PROGRESS") and stack["status"] != "REVIEW_IN_PROGRESS"
        ],
    }


def main() -> None:
    """The module."""
    module = AnsibleAWSModule(
        argument_spec={
            "environment": {"type": "str", "required": True},
            "image_id": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    try:
        found = facts(module)
    except ClientError as error:
        module.fail_json(
            msg=f"AWS refuses {error.operation_name}: {error.response['Error'].get('Message', error)}"
        )
    except NoCredentialsError:
        module.fail_json(
            msg="There are no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret."
        )
    except BotoCoreError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
