"""A target tracking policy follows the use of processors: out after three minutes, in after fifteen."""

from __future__ import annotations

import pytest

from rehearsal.aws.services.autoscaling.tracking import BREACHES_IN, BREACHES_OUT, Load, wanted
from tests.unit.rehearsal.aws.emulated_aws import GROUP, EmulatedAws

TARGET = 50.0


def load(value: float, minutes: int, desired: int = 2, warming: int = 0) -> Load:
    return Load(desired, desired - warming, warming, (value,) * minutes)


@pytest.mark.parametrize(
    ("found", "capacity"),
    [
        (load(90, BREACHES_OUT - 1), 2),
        (load(90, BREACHES_OUT), 4),
        (load(50, 60), 2),
        (load(46, 60), 2),
        (load(20, BREACHES_IN - 1, 4), 4),
        (load(20, BREACHES_IN, 4), 2),
        (load(20, BREACHES_IN, 4, warming=1), 4),
        (load(90, BREACHES_OUT, 4, warming=2), 4),
        (load(0, BREACHES_IN, 4), 0),
        (Load(2, 2, 0, (90, 40, 90)), 2),
    ],
)
def test_what_a_policy_wants(found: Load, capacity: int) -> None:
    assert wanted(found, TARGET) == capacity


def test_a_policy_can_be_told_not_to_scale_in() -> None:
    assert wanted(load(20, BREACHES_IN, 4), TARGET, scales_in=False) == 4


def follow(aws: EmulatedAws, desired: int = 2, **options: bool) -> None:
    aws.group(desired, MinSize=1, DefaultInstanceWarmup=60)
    aws.autoscaling.put_scaling_policy(
        AutoScalingGroupName=GROUP,
        PolicyName="follow",
        PolicyType="TargetTrackingScaling",
        TargetTrackingConfiguration={
            "PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"},
            "TargetValue": TARGET,
            **options,
        },
    )
    aws.wait(60)


def test_a_group_grows_and_shrinks_within_its_bounds(aws: EmulatedAws) -> None:
    follow(aws)
    aws.cpu = 90.0
    aws.wait(170)
    assert aws.described()["DesiredCapacity"] == 2
    aws.wait(60)
    assert aws.described()["DesiredCapacity"] == 4
    aws.wait(20 * 60)
    assert aws.described()["DesiredCapacity"] == 5, "the maximum"
    aws.cpu = 1.0
    aws.wait(20 * 60)
    assert aws.described()["DesiredCapacity"] == 1, "the minimum"


def test_policies_go_with_their_group(aws: EmulatedAws) -> None:
    follow(aws)
    aws.autoscaling.delete_auto_scaling_group(AutoScalingGroupName=GROUP, ForceDelete=True)
    aws.wait()
    assert not aws.autoscaling.describe_policies()["ScalingPolicies"]


@pytest.mark.parametrize("reason", ["no data", "suspended"])
def test_without_data_and_while_alarms_are_suspended_nothing_changes(aws: EmulatedAws, reason: str) -> None:
    follow(aws)
    if reason == "suspended":
        aws.cpu = 90.0
        aws.suspend("AlarmNotification")
    aws.wait(20 * 60)
    assert aws.described()["DesiredCapacity"] == 2
