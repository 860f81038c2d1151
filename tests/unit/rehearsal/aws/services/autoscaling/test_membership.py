"""Instances leave a group alive and come back: Standby, detaching, attaching, and what is retained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.unit.rehearsal.aws.emulated_aws import GROUP, HOOK, EmulatedAws

RETAIN = {"RetentionTriggers": {"TerminateHookAbandon": "retain"}}


def standby(aws: EmulatedAws, *instance_ids: str, decrement: bool = True) -> None:
    aws.autoscaling.enter_standby(
        AutoScalingGroupName=GROUP, InstanceIds=instance_ids, ShouldDecrementDesiredCapacity=decrement
    )


def detach(aws: EmulatedAws, *instance_ids: str, decrement: bool = True) -> None:
    aws.autoscaling.detach_instances(
        AutoScalingGroupName=GROUP, InstanceIds=instance_ids, ShouldDecrementDesiredCapacity=decrement
    )


def retained(aws: EmulatedAws) -> str:
    """An instance that is retained, and the only one of its group is another."""
    aws.group(1, InstanceLifecyclePolicy=RETAIN)
    aws.hook(result="ABANDON")
    (instance_id,) = aws.ids()
    aws.end(instance_id)
    aws.wait(70)
    return instance_id


def test_an_instance_goes_through_entering_standby(aws: EmulatedAws) -> None:
    aws.group(2)
    first, second = aws.ids()
    standby(aws, first)
    assert aws.states() == {first: "EnteringStandby", second: "InService"}
    assert aws.described()["DesiredCapacity"] == 1
    aws.wait(20)
    assert aws.states() == {first: "Standby", second: "InService"}
    aws.autoscaling.exit_standby(AutoScalingGroupName=GROUP, InstanceIds=[first])
    assert aws.states()[first] == "Pending"
    assert aws.described()["DesiredCapacity"] == 2
    aws.wait()
    assert aws.states() == {first: "InService", second: "InService"}


def test_unless_the_capacity_is_lowered_others_take_the_place(aws: EmulatedAws) -> None:
    aws.group(1)
    (first,) = aws.ids()
    standby(aws, first, decrement=False)
    aws.wait(2)
    assert sorted(aws.states().values()) == ["InService", "Standby"]
    detach(aws, first, decrement=False)
    assert aws.states()[first] == "Detaching"
    aws.wait()
    assert list(aws.states().values()) == ["InService"]
    found = aws.instance(first)
    assert found["State"]["Name"] == "running"
    assert "aws:autoscaling:groupName" not in found["tags"]


def test_nobody_checks_the_health_of_an_instance_on_standby(aws: EmulatedAws) -> None:
    aws.group(1)
    (first,) = aws.ids()
    standby(aws, first)
    aws.wait()
    aws.ec2.stop_instances(InstanceIds=[first])
    aws.wait(60)
    assert aws.states() == {first: "Standby"}


def test_a_detached_instance_can_be_attached_again(aws: EmulatedAws) -> None:
    aws.group(1)
    (first,) = aws.ids()
    detach(aws, first)
    aws.wait()
    assert aws.described()["DesiredCapacity"] == 0
    aws.autoscaling.attach_instances(AutoScalingGroupName=GROUP, InstanceIds=[first])
    aws.wait()
    assert aws.states() == {first: "InService"}
    assert aws.described()["DesiredCapacity"] == 1
    with pytest.raises(ClientError, match=f"{first} is already part of AutoScalingGroup:{GROUP}"):
        aws.autoscaling.attach_instances(AutoScalingGroupName=GROUP, InstanceIds=[first])


REFUSED: dict[str, Callable[[EmulatedAws, str], Any]] = {
    "is not in InService.": standby,
    "is not in Standby.": lambda aws, _: aws.autoscaling.exit_standby(
        AutoScalingGroupName=GROUP, InstanceIds=aws.ids()[1:]
    ),
    "To place into standby 1 instance, please update": lambda aws, _: standby(aws, aws.ids()[1]),
    "To detach 1 instance, please update": lambda aws, _: detach(aws, aws.ids()[1]),
    "is not part of Auto Scaling group": lambda aws, _: detach(aws, "i-strange"),
    "To take out of standby 1 instance, please": lambda aws, on_standby: (
        aws.autoscaling.update_auto_scaling_group(AutoScalingGroupName=GROUP, MaxSize=1),
        aws.autoscaling.exit_standby(AutoScalingGroupName=GROUP, InstanceIds=[on_standby]),
    ),
    "The process Launch of AutoScalingGroup": lambda aws, on_standby: (
        aws.autoscaling.suspend_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["Launch"]),
        aws.autoscaling.exit_standby(AutoScalingGroupName=GROUP, InstanceIds=[on_standby]),
    ),
    "Between 1 and 20 instances": lambda aws, on_standby: detach(aws, *([on_standby] * 21)),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_leave_or_return_is_refused(aws: EmulatedAws, message: str) -> None:
    aws.group(2, MinSize=1)
    on_standby = aws.ids()[0]
    standby(aws, on_standby)
    aws.wait()
    with pytest.raises(ClientError, match=message) as refused:
        REFUSED[message](aws, on_standby)
    assert refused.value.response["Error"]["Code"] == "ValidationError"


def test_an_abandoned_termination_is_retained_and_replaced(aws: EmulatedAws) -> None:
    instance_id = retained(aws)
    states = aws.states()
    assert states.pop(instance_id) == "Terminating:Retained"
    assert list(states.values()) == ["InService"]
    assert aws.instance(instance_id)["State"]["Name"] == "running"
    assert aws.described()["InstanceLifecyclePolicy"] == RETAIN
    activities = aws.autoscaling.describe_scaling_activities(AutoScalingGroupName=GROUP)["Activities"]
    assert "Cancelled" in {each["StatusCode"] for each in activities}
    with pytest.raises(ClientError, match="is not in InService or EnteringStandby or Standby"):
        aws.autoscaling.set_instance_protection(
            AutoScalingGroupName=GROUP, InstanceIds=[instance_id], ProtectedFromScaleIn=True
        )


def test_the_end_of_a_retained_instance_waits_for_the_hook_again(aws: EmulatedAws) -> None:
    instance_id = retained(aws)
    with pytest.raises(ClientError, match="is retained"):
        aws.end(instance_id, decrement=True)
    aws.end(instance_id)
    assert aws.states()[instance_id] == "Terminating:Wait"
    aws.complete("CONTINUE", InstanceId=instance_id)
    aws.wait()
    assert instance_id not in aws.ids()


def test_a_retained_instance_can_be_detached(aws: EmulatedAws) -> None:
    instance_id = retained(aws)
    with pytest.raises(ClientError, match="does not count towards the desired capacity"):
        detach(aws, instance_id)
    detach(aws, instance_id, decrement=False)
    aws.wait()
    assert len(aws.ids()) == 1
    assert aws.instance(instance_id)["State"]["Name"] == "running"


def test_a_group_that_retains_is_not_deleted_by_force(aws: EmulatedAws) -> None:
    retained(aws)
    with pytest.raises(ClientError, match="retains instances"):
        aws.autoscaling.delete_auto_scaling_group(AutoScalingGroupName=GROUP, ForceDelete=True)
    aws.update(InstanceLifecyclePolicy={"RetentionTriggers": {"TerminateHookAbandon": "terminate"}})
    aws.autoscaling.delete_auto_scaling_group(AutoScalingGroupName=GROUP, ForceDelete=True)
    aws.wait()
    assert not aws.autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]


@pytest.mark.parametrize("result", ["CONTINUE", "ABANDON"])
def test_without_the_policy_nothing_is_retained(aws: EmulatedAws, result: str) -> None:
    aws.group(1)
    aws.hook()
    (instance_id,) = aws.ids()
    aws.end(instance_id, decrement=True)
    aws.complete(result, hook=HOOK, InstanceId=instance_id)
    aws.wait()
    assert aws.ids() == []


def test_an_unknown_retention_is_refused(aws: EmulatedAws) -> None:
    with pytest.raises(ClientError, match="TerminateHookAbandon must be retain or terminate, not keep"):
        aws.group(1, InstanceLifecyclePolicy={"RetentionTriggers": {"TerminateHookAbandon": "keep"}})
