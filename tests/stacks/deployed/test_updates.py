"""An update changes what its parameter says, and nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rehearsal.cloudformation.calls import Provider, Resource
from rehearsal.cloudformation.table import KINDS
from tests.stacks.deployed.environment import Environment, Parameters

CHANGES: list[tuple[str, Parameters, set[str]]] = [
    ("network", {"FlowLogRetentionDays": "30"}, {"FlowLogBucket"}),
    (
        "firewall",
        {"UserCidr": "10.9.0.0/16"},
        {"InternalLoadBalancerFromUsers", "InternalLoadBalancerSecurityGroup"},
    ),
    ("endpoints", {"Offload": "no"}, {"Ecs", "EcrApi", "EcrDocker"}),
    ("buckets", {"TaskLogRetentionDays": "100"}, {"LogBucket"}),
    ("data", {"BackupRetentionDays": "30"}, {"Database"}),
    ("edge", {"DeletionProtection": "false"}, {"InternalLoadBalancer", "PublicLoadBalancer"}),
    ("database-step", {"VolumeGiB": "20"}, {"LaunchTemplate", "Step"}),
    ("webserver", {"MaxSize": "7"}, {"Group"}),
    ("webserver", {"TargetCpuPercent": "60"}, {"FollowTheLoad"}),
    ("scheduler", {"HealthCheckGraceSeconds": "200"}, {"Group"}),
    ("worker-default", {"DrainHeartbeatSeconds": "700"}, {"Group"}),
    ("worker-spot", {"MaxSize": "20"}, {"Group", "AtMaximumAlarm"}),
    ("offload", {"LogRetentionDays": "90"}, {"ContainerLog"}),
    ("offload", {"MemoryMiB": "4096"}, {"Task"}),
    ("observability", {"DatabaseConnections": "700"}, {"DatabaseConnectionsAlarm"}),
    ("observability", {"AlarmEmail": "team@example.com"}, {"EmailSubscription"}),
    ("operations", {"IdleMinutes": "30"}, {"Session"}),
]


@pytest.fixture(scope="module")
def album() -> dict[str, Any]:
    """The picture after the last update, which is the one before the next."""
    return {}


@pytest.mark.parametrize(("name", "changed", "expected"), CHANGES)
def test_one_parameter_changes_its_own_resources_and_no_others(
    most: Environment, album: dict[str, Any], name: str, changed: Parameters, expected: set[str]
) -> None:
    stack = most.stack(name)
    before = album.pop("most", None) or _photograph(most)
    assert most.update(stack, changed) == "UPDATE_COMPLETE"
    album["most"] = _photograph(most)
    assert _differences(before, album["most"]) == {(stack, logical) for logical in expected}


def test_the_boundary_reaches_every_role_and_leaves_again(least: Environment, around: Parameters) -> None:
    stack = least.stack("security")
    roles = {name for name, one in least.resources(stack).items() if one["ResourceType"] == "AWS::IAM::Role"}
    before = _photograph(least)
    bounded = {"PermissionsBoundaryArn": around["PermissionsBoundaryArn"]}
    assert least.update(stack, bounded) == "UPDATE_COMPLETE"
    assert _differences(before, _photograph(least)) == {(stack, name) for name in roles}
    assert least.update(stack, {"PermissionsBoundaryArn": ""}) == "UPDATE_COMPLETE"
    assert _differences(before, _photograph(least)) == set()


def test_nat_gateways_are_added_zone_by_zone(least: Environment) -> None:
    stack = least.stack("network")
    before = _photograph(least)
    assert least.update(stack, {"NatGateways": "per-zone"}) == "UPDATE_COMPLETE"
    changed = {logical for _, logical in _differences(before, _photograph(least))}
    assert changed == {"NatAddressB", "NatGatewayB", "PrivateRouteB", "PrivateRouteTableB"}
    assert least.update(stack, {"NatGateways": "one"}) == "UPDATE_COMPLETE"
    assert _differences(before, _photograph(least)) == set()


def test_flow_logs_of_a_given_network_are_kept_too(least: Environment) -> None:
    stack = least.stack("observability")
    assert least.update(stack, {"FlowLogVpcId": least.outputs["network"]["VpcId"]}) == "UPDATE_COMPLETE"
    log = least.clients("ec2").describe_flow_logs(FlowLogIds=[least.id(stack, "FlowLog")])["FlowLogs"][0]
    assert log["LogDestination"].endswith("/flow-logs/")


@pytest.mark.parametrize("name", ["network", "security", "webserver"])
def test_an_update_without_a_change_is_refused(least: Environment, name: str) -> None:
    with pytest.raises(ClientError, match=r"No updates are to be performed\."):
        least.update(least.stack(name), {})


@pytest.mark.parametrize("name", ["webserver", "worker-default"])
def test_another_image_makes_a_version_that_reaches_the_group_by_its_parameter(
    least: Environment, name: str
) -> None:
    stack = least.stack(name)
    ec2 = least.clients("ec2")
    images = ec2.describe_images(Owners=["amazon"])["Images"]
    other = next(one["ImageId"] for one in images if one["ImageId"] != least.choices[""]["ImageId"])
    before = _photograph(least)
    assert least.update(stack, {"ImageId": other}) == "UPDATE_COMPLETE"
    assert _differences(before, _photograph(least)) == {(stack, "LaunchTemplate")}
    assert least.outputs_of(stack)["LatestLaunchTemplateVersion"] == "2"
    assert _version(least, stack) == "1"
    template = least.id(stack, "LaunchTemplate")
    versions = ec2.describe_launch_template_versions(LaunchTemplateId=template)["LaunchTemplateVersions"]
    assert {one["VersionNumber"]: one["LaunchTemplateData"]["ImageId"] for one in versions}[2] == other

    instances = _instances(least, stack)
    assert least.update(stack, {"LaunchTemplateVersion": "2"}) == "UPDATE_COMPLETE"
    assert _version(least, stack) == "2"
    assert _instances(least, stack) == instances


def test_a_change_that_fails_takes_back_what_was_done_before_it(least: Environment) -> None:
    stack = least.stack("worker-default")
    before = _photograph(least)
    nobody = "arn:aws:iam::123456789012:policy/nobody"
    assert least.update(stack, {"MaxSize": "9", "ExtraPolicyArns": nobody}) == "UPDATE_ROLLBACK_COMPLETE"
    assert _differences(before, _photograph(least)) == set()
    assert any("Role UPDATE_FAILED" in line and "nobody" in line for line in least.failures(stack))
    with pytest.raises(ClientError, match="No updates"):
        least.update(stack, {})


def test_a_change_set_says_what_would_change_and_changes_nothing(least: Environment) -> None:
    before = _photograph(least)
    stack = least.stack("scheduler")
    changes = _change_set(least, stack, {"VolumeGiB": "30"})
    assert [(one["Action"], one["LogicalResourceId"], one["Replacement"]) for one in changes] == [
        ("Modify", "LaunchTemplate", "False")
    ]
    changes = _change_set(least, least.stack("network"), {"NatGateways": "none"})
    assert {(one["Action"], one["LogicalResourceId"]) for one in changes} == {
        ("Remove", "NatAddressA"),
        ("Remove", "NatGatewayA"),
        ("Remove", "PrivateRouteA"),
        ("Remove", "PrivateRouteB"),
    }
    changes = _change_set(least, least.stack("database-step"), {"VolumeGiB": "30"})
    assert {(one["LogicalResourceId"], one["Replacement"]) for one in changes} == {
        ("LaunchTemplate", "False"),
        ("Step", "Conditional"),
    }
    assert _differences(before, _photograph(least)) == set()


def _change_set(environment: Environment, stack: str, changed: Parameters) -> list[dict[str, Any]]:
    client = environment.cloudformation
    present = {one["ParameterKey"] for one in environment.describe(stack)["Parameters"]} - set(changed)
    made = client.create_change_set(
        StackName=stack,
        ChangeSetName="look",
        UsePreviousTemplate=True,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "UsePreviousValue": True} for key in present]
        + [{"ParameterKey": key, "ParameterValue": value} for key, value in changed.items()],
    )
    described = client.describe_change_set(ChangeSetName=made["Id"])
    client.delete_change_set(ChangeSetName=made["Id"])
    assert described["Status"] == "CREATE_COMPLETE"
    return [one["ResourceChange"] for one in described["Changes"]]


def _version(environment: Environment, stack: str) -> str:
    groups = environment.clients("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[stack])
    return str(re.findall(r"'Version': '(\d+)'", str(groups["AutoScalingGroups"][0]))[0])


def _instances(environment: Environment, stack: str) -> set[str]:
    groups = environment.clients("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[stack])
    return {one["InstanceId"] for one in groups["AutoScalingGroups"][0]["Instances"]}


DETAILS = {
    "AWS::S3::Bucket": [
        ("s3", "get_bucket_lifecycle_configuration", "Bucket"),
        ("s3", "get_bucket_encryption", "Bucket"),
        ("s3", "get_bucket_versioning", "Bucket"),
        ("s3", "get_bucket_logging", "Bucket"),
    ],
    "AWS::IAM::Role": [
        ("iam", "list_role_policies", "RoleName"),
        ("iam", "list_attached_role_policies", "RoleName"),
    ],
    "AWS::ElasticLoadBalancingV2::LoadBalancer": [
        ("elbv2", "describe_load_balancer_attributes", "LoadBalancerArn")
    ],
    "AWS::ElasticLoadBalancingV2::TargetGroup": [
        ("elbv2", "describe_target_group_attributes", "TargetGroupArn")
    ],
    "AWS::AutoScaling::AutoScalingGroup": [
        ("autoscaling", "describe_lifecycle_hooks", "AutoScalingGroupName")
    ],
    "AWS::SSM::Document": [("ssm", "get_document", "Name")],
    "AWS::RDS::DBParameterGroup": [("rds", "describe_db_parameters", "DBParameterGroupName")],
    "AWS::EC2::LaunchTemplate": [("ec2", "describe_launch_template_versions", "LaunchTemplateId")],
}
"""What a resource's own description leaves out."""


NOISE = {
    "AlarmConfigurationUpdatedTimestamp",
    "AvailableIpAddressCount",
    "Instances",
    "LastModified",
    "LatestRestorableTime",
    "ResponseMetadata",
    "Roles",  # an instance profile shows its roles whole
    "SizeInBytes",
    "StateUpdatedTimestamp",
}


def _photograph(environment: Environment) -> dict[tuple[str, str], Any]:
    """Every resource of every stack as its service describes it now."""
    provider = Provider(KINDS, environment.clients)
    pictures = {}
    for stack in environment.stacks:
        declared = environment.declared(stack)
        for logical, one in environment.resources(stack).items():
            kind, physical = one["ResourceType"], one["PhysicalResourceId"]
            resource = Resource(logical, kind, declared[logical]["Properties"], name=physical, id=physical)
            seen = [physical, provider.read(resource)]
            for service, method, argument in DETAILS.get(kind, []):
                seen.append(getattr(environment.clients(service), method)(**{argument: physical}))
            pictures[stack, logical] = _still(seen)
    return pictures


def _still(seen: list[Any]) -> str:
    """Without what changes by itself or counts up."""
    return str([_without(one, NOISE) for one in seen])


def _without(value: Any, noise: set[str]) -> Any:  # noqa: ANN401 - whatever a service answers
    if isinstance(value, dict):
        return {name: _without(item, noise) for name, item in sorted(value.items()) if name not in noise}
    return [_without(item, noise) for item in value] if isinstance(value, list) else value


def _differences(
    before: dict[tuple[str, str], Any], after: dict[tuple[str, str], Any]
) -> set[tuple[str, str]]:
    return {place for place in {*before, *after} if before.get(place) != after.get(place)}
