"""Deleting an environment's stacks, the last first, keeps what holds data."""

from __future__ import annotations

from collections import Counter

import pytest
from botocore.exceptions import ClientError

from rehearsal.aws.services.cloudformation.models import STACK
from tests.stacks.deployed.conftest import small
from tests.stacks.deployed.environment import Environment, Parameters

KEPT = {
    "security": {"Key", "KeyAlias"},
    "buckets": {
        *(f"{name}Bucket{policy}" for name in ("Log", "Release", "Access") for policy in ("", "Policy")),
        *("Commands", "Journal", "Sessions"),
    },
    "data": {"DatabaseLog", "FileSystem"},
}


def unprotect_database(environment: Environment) -> None:
    """Turn its deletion protection off, as the user guide says."""
    environment.clients("rds").modify_db_instance(
        DBInstanceIdentifier=f"airkiln-{environment.name}", DeletionProtection=False, ApplyImmediately=True
    )


def unprotect_load_balancers(environment: Environment) -> None:
    """Turn theirs off."""
    elbv2 = environment.clients("elbv2")
    for one in elbv2.describe_load_balancers()["LoadBalancers"]:
        if one["LoadBalancerName"].startswith(f"airkiln-{environment.name}-"):
            elbv2.modify_load_balancer_attributes(
                LoadBalancerArn=one["LoadBalancerArn"],
                Attributes=[{"Key": "deletion_protection.enabled", "Value": "false"}],
            )


@pytest.fixture(scope="module")
def gone(endpoint: str, around: Parameters) -> Environment:
    """An environment that was deployed and deleted again."""
    environment = small(endpoint, around, "gone")
    for name in reversed(environment.stacks):
        client = environment.cloudformation
        protected = {"data": unprotect_database, "edge": unprotect_load_balancers}
        unprotect = protected.get(environment.stacks[name])
        if unprotect is not None:
            client.delete_stack(StackName=name)
            assert environment.settled(name) == "DELETE_FAILED", f"the protection of {name} did nothing"
            unprotect(environment)
        stack_id = environment.describe(name)["StackId"]
        client.delete_stack(StackName=name)
        assert environment.settled(stack_id) == "DELETE_COMPLETE", environment.failures(stack_id)
        environment.ids[name] = stack_id
    return environment


def test_exactly_the_data_resources_are_kept(gone: Environment) -> None:
    for stack, name in gone.stacks.items():
        kept = {
            event["LogicalResourceId"]
            for event in gone.events(gone.ids[stack])
            if event["ResourceStatus"] == "DELETE_SKIPPED"
        }
        assert kept == KEPT.get(name, set()), stack


def test_what_is_kept_is_still_in_its_service(gone: Environment) -> None:
    s3 = gone.clients("s3")
    buckets = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    for output in ("LogBucketName", "ReleaseBucketName", "AccessBucketName"):
        assert gone.outputs["buckets"][output] in buckets
        assert s3.get_bucket_policy(Bucket=gone.outputs["buckets"][output])
    key = gone.clients("kms").describe_key(KeyId=gone.outputs["security"]["KeyArn"])["KeyMetadata"]
    assert key["KeyState"] == "Enabled"
    systems = gone.clients("efs").describe_file_systems(FileSystemId=gone.outputs["data"]["FileSystemId"])
    assert len(systems["FileSystems"]) == 1
    groups = gone.clients("logs").describe_log_groups(logGroupNamePrefix="/airkiln/gone/")["logGroups"]
    names = {group["logGroupName"].removeprefix("/airkiln/gone/") for group in groups}
    assert names == {"commands", "journal", "sessions"}


def test_the_database_leaves_a_snapshot(gone: Environment) -> None:
    rds = gone.clients("rds")
    names = {one["DBInstanceIdentifier"] for one in rds.describe_db_instances()["DBInstances"]}
    assert "airkiln-gone" not in names
    snapshots = rds.describe_db_snapshots(DBInstanceIdentifier="airkiln-gone")["DBSnapshots"]
    assert [snapshot["DBInstanceIdentifier"] for snapshot in snapshots] == ["airkiln-gone"]


def test_everything_else_is_gone(gone: Environment) -> None:
    ec2 = gone.clients("ec2")
    with pytest.raises(ClientError, match="does not exist"):
        ec2.describe_vpcs(VpcIds=[gone.outputs["network"]["VpcId"]])
    names = {group["AutoScalingGroupName"] for group in _groups(gone)}
    assert not [name for name in names if name.startswith("airkiln-gone-")]
    roles = {role["RoleName"] for role in gone.clients("iam").list_roles()["Roles"]}
    assert not [role for role in roles if role.startswith("airkiln-gone-")]


def test_what_needs_another_is_deleted_before_it(gone: Environment) -> None:
    for stack in gone.stacks:
        events = [event for event in reversed(gone.events(gone.ids[stack])) if event["ResourceType"] != STACK]
        made = [e["LogicalResourceId"] for e in events if e["ResourceStatus"] == "CREATE_COMPLETE"]
        counted = Counter(made)
        assert max(counted.values()) == 1
    events = [
        event["LogicalResourceId"]
        for event in reversed(gone.events(gone.ids["airkiln-gone-network"]))
        if event["ResourceStatus"] == "DELETE_COMPLETE"
    ]
    assert (
        events.index("NatGatewayA") < events.index("NatAddressA") < events.index("InternetGatewayAttachment")
    )
    assert events.index("PrivateSubnetA") < events.index("Vpc")


def _groups(environment: Environment) -> list[dict[str, str]]:
    return list(environment.clients("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"])
