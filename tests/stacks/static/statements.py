"""The statements of every policy that the stacks deploy, for the tests of what they allow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from rehearsal.aws.services.cloudformation.template import Json
from tests.stacks.static.template import EVERYTHING, NAMES, Template

ANY_RESOURCE = {
    "autoscaling:DescribeAutoScalingGroups": "describing knows no resource",
    "autoscaling:DescribeAutoScalingInstances": "describing knows no resource",
    "cloudwatch:GetMetricData": "reading figures knows no resource and no namespace",
    "cloudwatch:PutMetricData": "knows no resource; held to the namespace Airkiln",
    "ec2:DescribeInstances": "describing knows no resource",
    "ec2:DescribeTags": "describing knows no resource",
    "ecr:GetAuthorizationToken": "the login to the registry knows no resource",
    "logs:DescribeLogGroups": "the session agent looks for its group among all of them",
    "ssm:DescribeInstanceInformation": "describing knows no resource that a tag could hold it to",
    "ssm:DescribeSessions": "describing knows no resource",
    **dict.fromkeys(
        [
            f"ec2messages:{action}"
            for action in ("AcknowledgeMessage", "DeleteMessage", "FailMessage", "GetEndpoint")
        ]
        + ["ec2messages:GetMessages", "ec2messages:SendReply"]
        + [f"ssmmessages:{verb}{end}Channel" for verb in ("Create", "Open") for end in ("Control", "Data")],
        "the agent's channels know no resource",
    ),
}
"""Actions that may be allowed on every resource, and why."""

DANGEROUS = (
    "iam:",
    "sts:",
    "organizations:",
    "kms:Put",
    "kms:Schedule",
    "kms:Disable",
    "s3:Delete",
    "s3:PutBucket",
    "ssm:Put",
)
PREFIX = "airkiln-test"


class Statement(NamedTuple):
    """One statement of a policy and where it stands."""

    template: str
    owner: str
    kind: str
    body: dict[str, Any]

    @property
    def actions(self) -> list[str]:
        return listed(self.body["Action"])

    @property
    def resources(self) -> list[str]:
        return listed(self.body["Resource"])

    @property
    def allows(self) -> bool:
        return bool(self.body["Effect"] == "Allow")

    def __str__(self) -> str:
        return f"{self.template}.{self.owner}.{self.body.get('Sid', '')}"


def listed(value: Json) -> list[str]:
    return value if isinstance(value, list) else [value]


def policies(name: str, **given: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(owner, kind, document) of every policy in a template."""
    for owner, resource in Template(name).deployed(**(given or EVERYTHING.get(name, {}))).items():
        properties = resource.get("Properties", {})
        for inline in properties.get("Policies", []):
            yield owner, "identity", inline["PolicyDocument"]
        if "PolicyDocument" in properties:
            identity = resource["Type"] in ("AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy")
            yield owner, "identity" if identity else resource["Type"], properties["PolicyDocument"]
        for key in ("KeyPolicy", "FileSystemPolicy", "AssumeRolePolicyDocument"):
            if key in properties:
                yield owner, key, properties[key]


STATEMENTS = [
    Statement(name, owner, kind, statement)
    for name in NAMES
    for owner, kind, document in policies(name)
    for statement in document["Statement"]
]
IDENTITY = [statement for statement in STATEMENTS if statement.kind == "identity"]
ALLOWED = [statement for statement in STATEMENTS if statement.allows]
KEY = {statement.body["Sid"]: statement.body for statement in STATEMENTS if statement.kind == "KeyPolicy"}


def allowed(template: str, *owners: str) -> list[Statement]:
    return [s for s in IDENTITY if s.template == template and s.owner in owners and s.allows]
