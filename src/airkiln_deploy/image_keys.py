"""Whether Auto Scaling may use the keys under which an image's snapshots are encrypted.

An image under a key of the customer's launches by hand, with the caller's rights, but no group launches it:
its service-linked role has no policy of its own for the key, so the key's policy or a grant has to name it
(docs.aws.amazon.com/autoscaling/ec2/userguide/key-policy-requirements-EBS-encryption.html).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from botocore.exceptions import ClientError

USE = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
GRANT = "kms:CreateGrant"


def role(partition: str, account: str) -> str:
    """The ARN of the account's AWSServiceRoleForAutoScaling."""
    return (
        f"arn:{partition}:iam::{account}:role/aws-service-role/autoscaling.amazonaws.com/"
        "AWSServiceRoleForAutoScaling"
    )


def problems(ec2: Any, kms: Any, image: Mapping[str, Any], principal: str, own_key: str) -> list[str]:  # noqa: ANN401
    """A sentence, with the statement to add, for each key that `principal` may not use.

    :param image: the image as DescribeImages has it.
    :param own_key: the ARN of the environment's key, whose policy the deployment writes; or empty.
    """
    snapshots = [
        mapping["Ebs"]["SnapshotId"]
        for mapping in image.get("BlockDeviceMappings", [])
        if mapping.get("Ebs", {}).get("SnapshotId") and mapping["Ebs"].get("Encrypted")
    ]
    if not snapshots:
        return []
    described = ec2.describe_snapshots(SnapshotIds=snapshots)["Snapshots"]
    keys = sorted({each["KmsKeyId"] for each in described if each.get("KmsKeyId")} - {own_key})
    return [sentence for key in keys if (sentence := _problem(kms, key, principal))]


def _problem(kms: Any, key: str, principal: str) -> str:  # noqa: ANN401 - boto3
    statements = json.dumps(statement(principal))
    add = f"Add to the policy of that key: {statements}"
    try:
        if kms.describe_key(KeyId=key)["KeyMetadata"].get("KeyManager") == "AWS":
            return ""  # of the account itself: every principal of it may use it through EC2
        policy = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
        if permits(policy, principal):
            return ""
        grants = [
            grant
            for page in kms.get_paginator("list_grants").paginate(KeyId=key)
            for grant in page["Grants"]
            if grant.get("GranteePrincipal") == principal
        ]
        if any("CreateGrant" in grant["Operations"] for grant in grants):
            return ""
    except ClientError as error:
        code = error.response["Error"].get("Code", "no reason")
        return (
            f"The image is encrypted with {key}, whose policy and grants cannot be read ({code}): whether "
            "groups can launch it is not known. Copy the image under a key of this account, or let "
            f"{principal} use the key and allow this caller kms:DescribeKey, kms:GetKeyPolicy and "
            "kms:ListGrants."
        )
    return (
        f"The image is encrypted with {key}, which Auto Scaling may not use: no group would launch it. {add}"
    )


def statement(principal: str) -> list[dict[str, Any]]:
    """The statements of a key policy with which Auto Scaling launches instances under the key."""
    named = {"Effect": "Allow", "Principal": {"AWS": principal}, "Resource": "*"}
    return [
        named | {"Action": USE},
        named | {"Action": GRANT, "Condition": {"Bool": {"kms:GrantIsForAWSResource": True}}},
    ]


def permits(policy: Mapping[str, Any], principal: str) -> bool:
    """Whether the key's policy names the principal, or everybody, for every action that a launch takes."""
    actions = [
        action
        for each in _listed(policy.get("Statement"))
        if each.get("Effect") == "Allow" and _names(each.get("Principal"), principal)
        for action in _listed(each.get("Action"))
    ]
    needed = [GRANT, "kms:Decrypt", "kms:GenerateDataKeyWithoutPlaintext"]
    return all(any(fnmatchcase(name.lower(), action.lower()) for action in actions) for name in needed)


def _names(given: Any, principal: str) -> bool:  # noqa: ANN401 - JSON
    named = _listed(given.get("AWS")) if isinstance(given, Mapping) else _listed(given)
    return principal in named or "*" in named


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 - JSON
    return value if isinstance(value, list) else [] if value is None else [value]
