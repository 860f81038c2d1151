"""Who may use the environment's key, and that nothing travels or lies in clear text."""

from __future__ import annotations

import pytest

from tests.stacks.static.statements import KEY
from tests.stacks.static.template import ACCOUNT, EVERYTHING, NAMES, REGION, Template

# The key's own policy, a statement a test.

SCALING = (
    f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
)


def test_the_account_manages_the_key_by_its_policies() -> None:
    assert KEY["AccountDecidesByItsPolicies"]["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}


def test_auto_scaling_may_launch_from_an_image_under_the_key() -> None:
    statement = KEY["AutoScalingLaunchesFromEncryptedImages"]
    assert SCALING in statement["Principal"]["AWS"]
    assert {"kms:Decrypt", "kms:GenerateDataKeyWithoutPlaintext", "kms:DescribeKey"} <= set(
        statement["Action"]
    )


@pytest.mark.parametrize(
    "name", ["AutoScalingLaunchesFromEncryptedImages", "AutoScalingLendsTheKeyToVolumes"]
)
def test_where_pools_use_spot_its_role_may_use_the_key_too(name: str) -> None:
    """IAM refuses a policy that names a role which is not there: without Spot the role may be missing."""
    resources = Template("security").deployed(Spot="no")
    without = {each["Sid"]: each for each in resources["Key"]["Properties"]["KeyPolicy"]["Statement"]}
    spot = SCALING.replace("autoscaling", "spot").replace("ForAutoScaling", "ForEC2Spot")
    assert KEY[name]["Principal"] == {"AWS": [SCALING, spot]}
    assert without[name]["Principal"] == {"AWS": [SCALING]}


def test_auto_scaling_may_lend_the_key_to_volumes_only() -> None:
    statement = KEY["AutoScalingLendsTheKeyToVolumes"]
    assert statement["Action"] == "kms:CreateGrant"
    assert statement["Condition"] == {"Bool": {"kms:GrantIsForAWSResource": "true"}}


def test_nobody_but_a_service_lends_the_key() -> None:
    statement = KEY["OnlyServicesLendTheKey"]
    assert (statement["Effect"], statement["Action"]) == ("Deny", "kms:CreateGrant")


def test_every_log_group_under_the_key_is_one_that_its_policy_names() -> None:
    (patterns,) = KEY["LogGroupsOfThisEnvironment"]["Condition"]["StringLike"].values()
    prefixes = tuple(pattern.rpartition("log-group:")[2].removesuffix("*") for pattern in patterns)
    groups = [
        resource["Properties"]["LogGroupName"]
        for name in NAMES
        for resource in Template(name).deployed(**EVERYTHING.get(name, {})).values()
        if resource["Type"] == "AWS::Logs::LogGroup"
    ]
    assert len(groups) == 5
    assert [group for group in groups if not group.startswith(prefixes)] == []


def test_every_alarm_is_one_that_may_use_the_key_and_the_topic() -> None:
    pattern = KEY["AlarmsSpeakThroughTheTopic"]["Condition"]["ArnLike"]["aws:SourceArn"]
    assert pattern == f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:airkiln-test-*"
    for name in ("observability", "queues", "workers"):
        for resource in Template(name).deployed().values():
            if resource["Type"] == "AWS::CloudWatch::Alarm":
                assert resource["Properties"]["AlarmName"].startswith("airkiln-test-")
                assert resource["Properties"]["AlarmActions"] == [
                    f"arn:aws:sns:{REGION}:{ACCOUNT}:airkiln-test-alarms"
                ]


def test_flow_logs_may_be_delivered_under_the_key() -> None:
    assert KEY["FlowLogsAreDelivered"]["Principal"] == {"Service": "delivery.logs.amazonaws.com"}
    flow_log = Template("buckets").deployed()["FlowLog"]["Properties"]
    assert flow_log["LogDestination"].endswith("/flow-logs/")


def test_every_bucket_refuses_clear_text() -> None:
    resources = [each for name in NAMES for each in Template(name).deployed().values()]
    count = sum(resource["Type"] == "AWS::S3::Bucket" for resource in resources)
    assert count == 3
    refusing = [
        statement
        for resource in resources
        if resource["Type"] == "AWS::S3::BucketPolicy"
        for statement in resource["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
        and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        and len(statement["Resource"]) == 2
    ]
    assert len(refusing) == count


def test_the_file_system_refuses_clear_text() -> None:
    statements = Template("data").deployed()["FileSystem"]["Properties"]["FileSystemPolicy"]["Statement"]
    assert {"Bool": {"aws:SecureTransport": "false"}} in [
        s["Condition"] for s in statements if s["Effect"] == "Deny"
    ]
