"""An update changes what its parameter says, and nothing else.

The environments are this module's own, because other modules read what was first deployed.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rehearsal.aws.services.cloudformation.calls import Provider, Resource
from rehearsal.aws.services.cloudformation.table import KINDS
from tests.stacks.deployed.conftest import small, whole
from tests.stacks.deployed.environment import Environment, Parameters

NEW = {"(another)"}
COUNTED = {
    "CreateTime",
    "CreatedDate",
    "DefaultVersion",
    "DocumentVersion",
    "Hash",
    "LatestVersion",
    "LatestVersionNumber",
    "VersionNumber",
}
"""What counts up with each change."""
RULE = {"InternalLoadBalancerFromUsers": NEW, "InternalLoadBalancerSecurityGroup": {"CidrIp"}}
"""EC2 shows a rule with its group too."""
CHANGES: list[tuple[str, Parameters, dict[str, set[str]]]] = [
    ("buckets", {"TaskLogRetentionDays": "100"}, {"LogBucket": {"Days"}}),
    ("data", {"BackupRetentionDays": "30"}, {"Database": {"BackupRetentionPeriod"}}),
    ("edge", {"DeletionProtection": "false"}, {"InternalLoadBalancer": {"Value"}}),
    ("public", {"DeletionProtection": "false"}, {"PublicLoadBalancer": {"Value"}}),
    ("webserver", {"MaxSize": "7"}, {"Group": {"MaxSize"}}),
    ("scheduler", {"HealthCheckGraceSeconds": "200"}, {"Group": {"HealthCheckGracePeriod"}}),
    ("worker-default", {"DrainHeartbeatSeconds": "700"}, {"Group": {"HeartbeatTimeout", "GlobalTimeout"}}),
    ("worker-spot", {"MaxSize": "20"}, {"Group": {"MaxSize"}, "AtMaximumAlarm": {"Threshold"}}),
    ("offload", {"LogRetentionDays": "90"}, {"ContainerLog": {"retentionInDays"}}),
    ("observability", {"DatabaseConnections": "700"}, {"DatabaseConnectionsAlarm": {"Threshold"}}),
    ("operations", {"IdleMinutes": "30"}, {"Session": {"idleSessionTimeout"}}),
    ("firewall", {"UserCidr": "10.9.0.0/16"}, RULE),
    ("endpoints", {"Offload": "no"}, {"Ecs": NEW, "EcrApi": NEW, "EcrDocker": NEW}),
    ("database-step", {"VolumeGiB": "20"}, {"LaunchTemplate": {"VolumeSize"}, "Step": NEW}),
    ("webserver", {"TargetCpuPercent": "60"}, {"FollowTheLoad": {"TargetValue"}}),
    ("offload", {"MemoryMiB": "4096"}, {"Task": NEW}),
    ("observability", {"AlarmEmail": "team@example.com"}, {"EmailSubscription": NEW}),
]
"""One parameter of a stack, and what that changes of which resources."""


@pytest.fixture(scope="module")
def least(endpoint: str, around: Parameters) -> Environment:
    return small(endpoint, around, "smallchange")


@pytest.fixture(scope="module")
def most(endpoint: str, around: Parameters) -> Environment:
    return whole(endpoint, around, "bigchange")


@pytest.mark.parametrize("half", [CHANGES[:11], CHANGES[11:]])
def test_a_parameter_of_each_stack_changes_this_of_its_own_resources_and_nothing_else(
    most: Environment, half: list[tuple[str, Parameters, dict[str, set[str]]]]
) -> None:
    before = _photograph(most)
    for name, changed, _ in half:
        assert most.update(most.stack(name), changed) == "UPDATE_COMPLETE", most.failures(most.stack(name))
    after = _photograph(most)
    expected = {(most.stack(name), one): fields for name, _, of in half for one, fields in of.items()}
    found = {place: _fields(before.get(place), after.get(place)) for place in _differences(before, after)}
    assert {place: fields - COUNTED for place, fields in found.items() if fields - COUNTED} == expected


def test_the_boundary_reaches_every_role_and_leaves_again(least: Environment, around: Parameters) -> None:
    stack = least.stack("iam")
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


def test_flow_logs_are_kept_unless_the_network_has_its_own(least: Environment) -> None:
    stack = least.stack("buckets")
    described = least.clients("ec2").describe_flow_logs
    (log,) = described(FlowLogIds=[least.id(stack, "FlowLog")])["FlowLogs"]
    assert log["ResourceId"] == least.outputs["network"]["VpcId"]
    assert log["LogDestination"].endswith("/flow-logs/")
    assert least.update(stack, {"FlowLogs": "false"}) == "UPDATE_COMPLETE"
    assert log["FlowLogId"] not in [each["FlowLogId"] for each in described()["FlowLogs"]]
    assert least.update(stack, {"FlowLogs": "true"}) == "UPDATE_COMPLETE"


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
            if kind == "AWS::EC2::LaunchTemplate":
                latest = environment.clients("ec2").describe_launch_template_versions(
                    LaunchTemplateId=physical, Versions=["$Latest"]
                )
                seen.append(latest["LaunchTemplateVersions"][0]["LaunchTemplateData"])
            pictures[stack, logical] = _flat(seen)
    return pictures


def _fields(before: dict[str, str] | None, after: dict[str, str] | None) -> set[str]:
    """The names of the fields that differ; NEW where the resource itself is another, or there is none."""
    if before is None or after is None or before["0"] != after["0"]:
        return NEW
    places = {place for place in {*before, *after} if before.get(place) != after.get(place)}
    return {[part for part in place.split("/") if not part.isdigit()][-1] for place in places}


def _flat(value: Any, place: str = "") -> dict[str, str]:  # noqa: ANN401 - whatever a service answers
    """Every single value by its place, without what changes by itself."""
    # "{{ name }}" is a parameter of an SSM document, not a document.
    if isinstance(value, str) and value.startswith("{") and not value.startswith("{{"):
        value = json.loads(value)
    if isinstance(value, dict):
        items = [(name, item) for name, item in value.items() if name not in NOISE]
    elif isinstance(value, list):
        items = [(str(number), item) for number, item in enumerate(value)]
    else:
        return {place: str(value)}
    flat: dict[str, str] = {}
    for name, item in items:
        flat |= _flat(item, f"{place}/{name}".lstrip("/"))
    return flat


def _differences(
    before: dict[tuple[str, str], Any], after: dict[tuple[str, str], Any]
) -> set[tuple[str, str]]:
    return {place for place in {*before, *after} if before.get(place) != after.get(place)}
