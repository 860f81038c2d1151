"""What AWS holds of one environment, read before anything is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from airkiln_deploy import image_keys
from airkiln_deploy.errors import DeployError
from airkiln_deploy.stacks import SETTLED
from airkiln_deploy.template import digest


def stacks(cloudformation: Any, prefix: str) -> dict[str, dict[str, Any]]:  # noqa: ANN401 - boto3
    """The stacks whose names begin so: status and its reason, parameters, outputs, tags."""
    pages = cloudformation.get_paginator("describe_stacks").paginate()
    return {
        stack["StackName"]: {
            "status": stack["StackStatus"],
            "reason": stack.get("StackStatusReason", ""),
            "parameters": {
                each["ParameterKey"]: each.get("ParameterValue", "") for each in stack.get("Parameters", [])
            },
            "outputs": {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])},
            "tags": {each["Key"]: each["Value"] for each in stack.get("Tags", [])},
        }
        for page in pages
        for stack in page["Stacks"]
        if stack["StackName"].startswith(prefix) and stack["StackStatus"] != "DELETE_COMPLETE"
    }


def template_digest(cloudformation: Any, name: str) -> str:  # noqa: ANN401 - boto3
    """The digest of the template with which a stack was created or updated last (`template.digest`).

    Empty where it is not known: AWS does not let the caller read it, or it was not YAML. The stack is then
    updated, which changes nothing if there is nothing to change.
    """
    try:
        body = cloudformation.get_template(StackName=name, TemplateStage="Original")["TemplateBody"]
    except ClientError:
        return ""
    return digest(body) if isinstance(body, str) else ""


def image(ec2: Any, image_id: str) -> dict[str, Any] | None:  # noqa: ANN401 - boto3
    """The image as DescribeImages has it, or None if the account sees none of this id."""
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
    described: dict[str, Any] = found[0]
    return described


def mirrored(ssm: Any, folder: str) -> dict[str, str]:  # noqa: ANN401 - boto3
    """What earlier deployments wrote below the folder, by the path below it."""
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=folder, Recursive=True)
    return {
        each["Name"].removeprefix(f"{folder}/"): each["Value"]
        for page in pages
        for each in page["Parameters"]
    }


def facts(client: Callable[[str], Any], region: str, environment: str, image_id: str) -> dict[str, Any]:
    """The account, its zones, the image and the environment's stacks; the keys are the module's results.

    :param client: makes the client of a service by its name, such as "ec2".
    Raises DeployError when AWS refuses or does not answer.
    """
    try:
        return _facts(client, region, environment, image_id)
    except ClientError as error:
        raise DeployError(
            f"AWS refused {error.operation_name}: {error.response['Error'].get('Message', error)}"
        ) from error
    except NoCredentialsError as error:
        raise DeployError(
            "There are no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        ) from error
    except BotoCoreError as error:
        raise DeployError(f"AWS cannot be reached: {error}") from error


def _facts(client: Callable[[str], Any], region: str, environment: str, image_id: str) -> dict[str, Any]:
    ec2 = client("ec2")
    caller = client("sts").get_caller_identity()
    zones = ec2.describe_availability_zones(
        Filters=[
            {"Name": "opt-in-status", "Values": ["opt-in-not-required"]},
            {"Name": "state", "Values": ["available"]},
        ]
    )["AvailabilityZones"]
    lists = ec2.describe_prefix_lists(
        Filters=[{"Name": "prefix-list-name", "Values": [f"com.amazonaws.{region}.s3"]}]
    )["PrefixLists"]
    cloudformation = client("cloudformation")
    found = stacks(cloudformation, f"airkiln-{environment}-")
    moving = [
        name
        for name, stack in found.items()
        if stack["status"].endswith("_IN_PROGRESS") and stack["status"] != "REVIEW_IN_PROGRESS"
    ]
    if not moving:
        for name, stack in found.items():
            settled = stack["status"] in SETTLED
            stack["template"] = template_digest(cloudformation, name) if settled else ""
    partition = caller["Arn"].split(":")[1]
    described = image(ec2, image_id)
    own_key = found.get(f"airkiln-{environment}-security", {}).get("outputs", {}).get("KeyArn", "")
    return {
        "account": caller["Account"],
        "caller": caller["Arn"],
        "partition": partition,
        "region": region,
        "zones": sorted(
            zone["ZoneName"]
            for zone in zones
            if zone.get("ZoneType", "availability-zone") == "availability-zone"
        ),
        "s3_prefix_list": next((each["PrefixListId"] for each in lists), ""),
        "sqs_endpoint": client("sqs").meta.endpoint_url,
        "image": described
        and {
            "state": described.get("State", ""),
            "architecture": described.get("Architecture", ""),
            "key_problems": image_keys.problems(
                ec2, client("kms"), described, image_keys.role(partition, caller["Account"]), own_key
            ),
        },
        "infra": mirrored(client("ssm"), f"/airkiln/{environment}/infra"),
        "stacks": found,
        "moving": moving,
    }
