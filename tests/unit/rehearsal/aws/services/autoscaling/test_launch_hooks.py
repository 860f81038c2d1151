"""A new instance waits for the launch hooks of its group before it is in service."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.unit.rehearsal.aws.emulated_aws import GROUP, HOOK, EmulatedAws

LAUNCHING = "LAUNCHING"


def launching(aws: EmulatedAws, result: str = "CONTINUE", seconds: int = 60) -> str:
    """An instance whose launch hook waits."""
    aws.group(0)
    aws.hook(seconds, result=result, event=LAUNCHING)
    aws.resize(1)
    aws.wait()
    (instance_id,) = aws.ids()
    return instance_id


def statuses(aws: EmulatedAws) -> list[str]:
    found = aws.autoscaling.describe_scaling_activities(AutoScalingGroupName=GROUP)["Activities"]
    return [each["StatusCode"] for each in found]


def test_a_launch_waits_until_its_action_is_completed(aws: EmulatedAws) -> None:
    instance_id = launching(aws)
    aws.wait(30)
    assert aws.states() == {instance_id: "Pending:Wait"}
    assert statuses(aws) == ["MidLifecycleAction"]
    aws.complete(InstanceId=instance_id)
    assert aws.states() == {instance_id: "Pending:Proceed"}
    aws.wait()
    assert aws.states() == {instance_id: "InService"}
    assert statuses(aws) == ["Successful"]


def test_a_launch_that_waits_counts_towards_the_capacity(aws: EmulatedAws) -> None:
    instance_id = launching(aws)
    aws.wait(50)
    assert aws.ids() == [instance_id]
    aws.resize(0)
    assert aws.states() == {instance_id: "Terminating"}
    aws.wait()
    assert aws.ids() == []


def test_an_abandoned_launch_is_terminated_and_replaced(aws: EmulatedAws) -> None:
    instance_id = launching(aws)
    aws.complete("ABANDON", InstanceId=instance_id)
    states = aws.states()
    assert states.pop(instance_id) == "Terminating"
    assert list(states.values()) == ["Pending"]
    aws.wait()
    (other,) = aws.ids()
    assert other != instance_id
    assert aws.states() == {other: "Pending:Wait"}


def test_an_abandoned_launch_waits_for_the_termination_hooks(aws: EmulatedAws) -> None:
    instance_id = launching(aws)
    aws.hook(name="drain")
    aws.complete("ABANDON", InstanceId=instance_id)
    assert aws.states()[instance_id] == "Terminating:Wait"


@pytest.mark.parametrize(("result", "kept"), [("CONTINUE", True), ("ABANDON", False)])
def test_without_a_heartbeat_the_default_result_ends_the_wait(
    aws: EmulatedAws, result: str, *, kept: bool
) -> None:
    instance_id = launching(aws, result)
    aws.wait(40)
    aws.heartbeat(InstanceId=instance_id)
    aws.wait(40)
    assert aws.states() == {instance_id: "Pending:Wait"}
    aws.wait(22)
    assert (aws.states().get(instance_id) == "InService") == kept


def test_no_launch_outlives_a_hundred_heartbeats(aws: EmulatedAws) -> None:
    instance_id = launching(aws, "ABANDON", 30)
    for _ in range(119):
        aws.wait(25)
        aws.heartbeat(InstanceId=instance_id)
    assert aws.states() == {instance_id: "Pending:Wait"}
    aws.wait(26)
    assert instance_id not in aws.ids()


def test_deleting_a_hook_abandons_the_launch_that_waits_for_it(aws: EmulatedAws) -> None:
    instance_id = launching(aws)
    aws.autoscaling.delete_lifecycle_hook(AutoScalingGroupName=GROUP, LifecycleHookName=HOOK)
    assert aws.states()[instance_id] == "Terminating"


def test_a_machine_that_ends_while_its_launch_waits_is_replaced(aws: EmulatedAws) -> None:
    instance_id = launching(aws)
    aws.ec2.terminate_instances(InstanceIds=[instance_id])
    aws.wait(40)
    assert instance_id not in aws.ids()
    assert list(aws.states().values()) == ["Pending:Wait"]


def test_an_update_of_a_hook_keeps_what_it_does_not_name(aws: EmulatedAws) -> None:
    launching(aws, "CONTINUE", 90)
    aws.autoscaling.put_lifecycle_hook(
        AutoScalingGroupName=GROUP, LifecycleHookName=HOOK, HeartbeatTimeout=120
    )
    (hook,) = aws.autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=GROUP)["LifecycleHooks"]
    assert (hook["HeartbeatTimeout"], hook["DefaultResult"]) == (120, "CONTINUE")
    assert hook["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_LAUNCHING"


def test_what_a_hook_cannot_be_is_refused(aws: EmulatedAws) -> None:
    aws.group(0)
    with pytest.raises(ClientError, match="LifecycleTransition must be one of"):
        aws.autoscaling.put_lifecycle_hook(AutoScalingGroupName=GROUP, LifecycleHookName=HOOK)
    with pytest.raises(ClientError, match="DefaultResult must be CONTINUE or ABANDON"):
        aws.hook(result="RETRY")
    for number in range(50):
        aws.hook(name=f"hook-{number}")
    with pytest.raises(ClientError, match="has 50 lifecycle hooks") as refused:
        aws.hook()
    assert refused.value.response["Error"]["Code"] == "LimitExceeded"
