"""What a service gives back is what the template declared: what moto accepts and forgets is known by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from rehearsal.aws.services.cloudformation.calls import Provider, Resource
from rehearsal.aws.services.cloudformation.table import KINDS
from rehearsal.aws.services.cloudformation.template import text_of
from tests.stacks.deployed.environment import Environment

FORGOTTEN = {
    "AWS::AutoScaling::AutoScalingGroup DefaultInstanceWarmup",
    "AWS::AutoScaling::AutoScalingGroup MetricsCollection",
    "AWS::EC2::FlowLog DestinationOptions",
    "AWS::EC2::SecurityGroupEgress Description",
    "AWS::EC2::SecurityGroupIngress Description",
    "AWS::EFS::FileSystem BackupPolicy",
    "AWS::ElastiCache::ReplicationGroup CacheParameterGroupName",
    "AWS::ElastiCache::ReplicationGroup CacheSubnetGroupName",
    "AWS::ElastiCache::ReplicationGroup EngineVersion",
    "AWS::ElastiCache::ReplicationGroup NumCacheClusters",
    "AWS::ElastiCache::ReplicationGroup SecurityGroupIds",
}
"""The interpreter's README says the same."""
NOT_SHOWN = {
    "AWS::EC2::FlowLog ResourceType",
    "AWS::EC2::Instance LaunchTemplate",
    "AWS::EC2::Route RouteTableId",
    "AWS::EC2::VPCGatewayAttachment InternetGatewayId",
    "AWS::ElasticLoadBalancingV2::ListenerRule ListenerArn",
    "AWS::KMS::Key PendingWindowInDays",
    "AWS::Route53::RecordSet HostedZoneId",
    "AWS::S3::Bucket BucketName",
    "AWS::SQS::QueuePolicy Queues",
    "AWS::SSM::Document UpdateMethod",
    "AWS::WAFv2::WebACLAssociation ResourceArn",
}
"""What AWS's own descriptions leave out too, or what they were asked by."""
ALSO = {
    "AWS::AutoScaling::AutoScalingGroup": ["autoscaling.describe_lifecycle_hooks AutoScalingGroupName"],
    "AWS::EC2::LaunchTemplate": ["ec2.describe_launch_template_versions LaunchTemplateId"],
    "AWS::EC2::VPC": [
        "ec2.describe_vpc_attribute VpcId Attribute=enableDnsSupport",
        "ec2.describe_vpc_attribute VpcId Attribute=enableDnsHostnames",
    ],
    "AWS::EFS::FileSystem": ["efs.describe_file_system_policy FileSystemId"],
    "AWS::EFS::MountTarget": ["efs.describe_mount_target_security_groups MountTargetId"],
    "AWS::ElasticLoadBalancingV2::LoadBalancer": ["elbv2.describe_load_balancer_attributes LoadBalancerArn"],
    "AWS::ElasticLoadBalancingV2::TargetGroup": ["elbv2.describe_target_group_attributes TargetGroupArn"],
    "AWS::IAM::ManagedPolicy": ["iam.get_policy_version PolicyArn VersionId=v1"],
    "AWS::IAM::Role": ["iam.list_attached_role_policies RoleName"],
    "AWS::KMS::Key": ["kms.get_key_policy KeyId PolicyName=default", "kms.get_key_rotation_status KeyId"],
    "AWS::RDS::DBParameterGroup": ["rds.describe_db_parameters DBParameterGroupName"],
    "AWS::S3::Bucket": [
        f"s3.{operation} Bucket"
        for operation in (
            "get_bucket_encryption",
            "get_bucket_lifecycle_configuration",
            "get_bucket_logging",
            "get_bucket_ownership_controls",
            "get_bucket_versioning",
            "get_public_access_block",
        )
    ],
    "AWS::SSM::Document": ["ssm.get_document Name"],
}
"""Where the rest of a resource is asked for."""


def test_services_give_back_what_was_declared(least: Environment, most: Environment) -> None:
    lost = {
        f"{kind} {name}"
        for environment in (least, most)
        for kind, name in _lost(environment)
        if KINDS[kind].create is not None
    }
    assert lost - NOT_SHOWN == FORGOTTEN


def test_the_readme_names_what_is_forgotten() -> None:
    readme = (
        Path(__file__)
        .parents[3]
        .joinpath("rehearsal/aws/services/cloudformation/README.md")
        .read_text(encoding="utf-8")
    )
    for entry in FORGOTTEN:
        kind, name = entry.split(" ")
        row = next(line for line in readme.splitlines() if line.startswith(f"| `{kind}`"))
        assert f"`{name}`" in row


def _lost(environment: Environment) -> Iterator[tuple[str, str]]:
    """Type and property of each declared value that the services do not show."""
    provider = Provider(KINDS, environment.clients)
    for stack in environment.stacks:
        declared = environment.declared(stack)
        for logical, one in environment.resources(stack).items():
            kind, physical = one["ResourceType"], one["PhysicalResourceId"]
            properties = declared[logical]["Properties"]
            seen = [provider.read(Resource(logical, kind, properties, name=physical, id=physical))]
            seen += [_ask(environment, question, physical) for question in ALSO.get(kind, [])]
            if kind == "AWS::IAM::Role":
                iam = environment.clients("iam")
                names = iam.list_role_policies(RoleName=physical)["PolicyNames"]
                seen += [iam.get_role_policy(RoleName=physical, PolicyName=name) for name in names]
            shown = {text.lower() for text in _texts(seen)}
            everything = " ".join(shown)
            for name, value in properties.items():
                for text in _texts(value):
                    known = text.lower() in shown or (len(text) > 4 and text.lower() in everything)
                    if not known and "{{" not in text:
                        yield kind, name


def _ask(environment: Environment, question: str, physical: str) -> Any:  # noqa: ANN401 - an answer
    operation, argument, *more = question.split(" ")
    service, method = operation.split(".")
    options = dict(option.split("=") for option in more)
    return getattr(environment.clients(service), method)(**{argument: physical}, **options)


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401 - a template's or a service's data
    if isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    else:
        text = " ".join(text_of(value).split())
        document = None
        if text.startswith("{"):
            with suppress(ValueError):
                document = json.loads(text)
        if document is None:
            yield text.removesuffix(".0")
        else:
            yield from _texts(document)
