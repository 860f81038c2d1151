"""A terminating instance waits for its lifecycle hooks: heartbeats, time-outs, results and tokens."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from rehearsal.aws.services.autoscaling import backend as autoscaling
from rehearsal.aws.services.ec2 import backend as ec2
from rehearsal.aws.services.ec2.metadata import InstanceFacts
from tests.unit.rehearsal.aws.emulated_aws import GROUP, HOOK, EmulatedAws


def facts(aws: EmulatedAws, instance_id: str) -> InstanceFacts:
    found = ec2.backend().facts(aws.instance(instance_id)["PrivateIpAddress"])
    assert found is not None
    return found


def ending(aws: EmulatedAws, seconds: int = 60, desired: int = 1) -> str:
    """An instance whose hook waits, and which nobody replaces."""
    aws.group(desired)
    aws.hook(seconds)
    instance_id = aws.ids()[0]
    aws.end(instance_id, decrement=True)
    return instance_id


def test_an_instance_waits_until_its_action_is_completed(aws: EmulatedAws) -> None:
    instance_id = ending(aws)
    aws.wait(30)
    assert aws.states() == {instance_id: "Terminating:Wait"}
    assert aws.instance(instance_id)["State"]["Name"] == "running"
    aws.complete(InstanceId=instance_id)
    assert aws.states() == {instance_id: "Terminating:Proceed"}
    assert aws.instance(instance_id)["State"]["Name"] == "shutting-down"
    aws.wait()
    assert aws.states() == {}
    assert aws.instance(instance_id)["State"]["Name"] == "terminated"


def test_the_metadata_serve_the_target_lifecycle_state(aws: EmulatedAws) -> None:
    aws.group(1)
    aws.hook()
    (instance_id,) = aws.ids()
    assert facts(aws, instance_id).target_lifecycle_state == "InService"
    aws.end(instance_id)
    assert facts(aws, instance_id).target_lifecycle_state == "Terminated"
    alone = aws.ec2.run_instances(ImageId="ami-1", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    assert facts(aws, alone).target_lifecycle_state is None


def test_scale_in_and_bad_health_wait_too(aws: EmulatedAws) -> None:
    aws.group(2)
    aws.hook()
    first, second = aws.ids()
    aws.ec2.terminate_instances(InstanceIds=[second])
    aws.wait(6)
    assert aws.states()[second] == "Terminating:Wait"
    aws.autoscaling.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=0)
    aws.wait(1)
    assert set(aws.states().values()) == {"Terminating:Wait"}
    for instance_id in aws.ids():
        aws.complete(InstanceId=instance_id)
    aws.wait()
    assert aws.states() == {}
    assert first


def test_a_waiting_instance_is_replaced_at_once(aws: EmulatedAws) -> None:
    aws.group(1)
    aws.hook()
    (first,) = aws.ids()
    aws.end(first)
    aws.wait()
    states = aws.states()
    assert states.pop(first) == "Terminating:Wait"
    assert list(states.values()) == ["InService"]


@pytest.mark.parametrize("result", ["CONTINUE", "ABANDON"])
def test_without_a_heartbeat_the_default_result_applies(aws: EmulatedAws, result: str) -> None:
    aws.group(1)
    aws.hook(60, result=result)
    aws.end(aws.ids()[0], decrement=True)
    aws.wait(59)
    assert list(aws.states().values()) == ["Terminating:Wait"]
    aws.wait(2)
    assert aws.states() == {}


def test_a_heartbeat_restarts_the_time_out(aws: EmulatedAws) -> None:
    instance_id = ending(aws, 60)
    for _ in range(5):
        aws.wait(50)
        aws.heartbeat(InstanceId=instance_id)
    aws.wait(59)
    assert aws.states() == {instance_id: "Terminating:Wait"}
    aws.wait(2)
    assert aws.states() == {}


def test_no_action_outlives_a_hundred_heartbeats(aws: EmulatedAws) -> None:
    instance_id = ending(aws, 30)
    for _ in range(119):
        aws.wait(25)
        aws.heartbeat(InstanceId=instance_id)
    assert aws.states() == {instance_id: "Terminating:Wait"}
    aws.wait(26)
    assert aws.states() == {}


def test_no_action_outlives_two_days(aws: EmulatedAws) -> None:
    aws.group(1)
    aws.hook(7200)
    found = aws.autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=GROUP)["LifecycleHooks"][0]
    assert found["GlobalTimeout"] == 48 * 3600
    aws.hook(600)
    found = aws.autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=GROUP)["LifecycleHooks"][0]
    assert found["GlobalTimeout"] == 60000


def test_an_action_is_found_by_its_token_or_its_instance(aws: EmulatedAws) -> None:
    instance_id = ending(aws)
    member = autoscaling.backend().group(GROUP).instance_states[0]
    token = member.actions[HOOK].token
    aws.heartbeat(LifecycleActionToken=token)
    with pytest.raises(ClientError, match="No active Lifecycle Action found with token 0000"):
        aws.complete(LifecycleActionToken="00000000-0000-0000-0000-000000000000", InstanceId=instance_id)
    aws.complete(LifecycleActionToken=token)
    assert aws.states() == {instance_id: "Terminating:Proceed"}


def test_without_an_active_action_calls_are_refused(aws: EmulatedAws) -> None:
    aws.group(1)
    (instance_id,) = aws.ids()
    refusals = []
    for call in (aws.heartbeat, aws.complete):
        with pytest.raises(ClientError, match=f"found with instance ID {instance_id}$") as refused:
            call(InstanceId=instance_id)  # the hook does not exist
        refusals.append(refused.value.response["Error"]["Code"])
    aws.hook()
    for call in (aws.heartbeat, aws.complete):
        with pytest.raises(
            ClientError, match=f"No active Lifecycle Action found with instance ID {instance_id}$"
        ):
            call(InstanceId=instance_id)  # nothing waits
    aws.end(instance_id)
    aws.complete(InstanceId=instance_id)
    with pytest.raises(
        ClientError, match=f"No active Lifecycle Action found with instance ID {instance_id}$"
    ):
        aws.complete(InstanceId=instance_id)  # it is over
    assert refusals == ["ValidationError"] * 2


def test_every_hook_is_waited_for_but_after_abandon(aws: EmulatedAws) -> None:
    aws.group(2)
    aws.hook()
    aws.hook(name="logs")
    first, second = aws.ids()
    for instance_id in (first, second):
        aws.end(instance_id, decrement=True)
    aws.complete(InstanceId=first)
    assert aws.states()[first] == "Terminating:Wait"
    aws.complete(hook="logs", InstanceId=first)
    assert aws.states()[first] == "Terminating:Proceed"
    aws.complete("ABANDON", InstanceId=second)
    assert aws.states()[second] == "Terminating:Proceed"


def test_deleting_a_hook_completes_what_waits_for_it(aws: EmulatedAws) -> None:
    instance_id = ending(aws)
    aws.autoscaling.delete_lifecycle_hook(AutoScalingGroupName=GROUP, LifecycleHookName=HOOK)
    assert aws.states() == {instance_id: "Terminating:Proceed"}


def test_a_hook_comes_with_its_group(aws: EmulatedAws) -> None:
    hook = {"LifecycleHookName": HOOK, "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING"}
    aws.group(
        1, LifecycleHookSpecificationList=[hook | {"HeartbeatTimeout": 90, "DefaultResult": "CONTINUE"}]
    )
    aws.end(aws.ids()[0], decrement=True)
    aws.wait(89)
    assert list(aws.states().values()) == ["Terminating:Wait"]
    aws.wait(2)
    assert aws.states() == {}


@pytest.mark.parametrize("seconds", [29, 7201])
def test_a_heartbeat_out_of_range_is_refused(aws: EmulatedAws, seconds: int) -> None:
    aws.group(1)
    with pytest.raises(ClientError, match="between 30 and 7200"):
        aws.hook(seconds)


def test_deletion_by_force_waits_for_no_hook(aws: EmulatedAws) -> None:
    ending(aws, desired=2)
    aws.autoscaling.delete_auto_scaling_group(AutoScalingGroupName=GROUP, ForceDelete=True)
    assert set(aws.states().values()) == {"Terminating:Proceed", "Terminating"}
    aws.wait()
    assert not aws.autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]


def test_a_recommendation_is_followed_once_another_is_in_service(aws: EmulatedAws) -> None:
    aws.group(1, CapacityRebalance=True)
    aws.hook()
    (first,) = aws.ids()
    aws.faults.rebalance(first)
    assert facts(aws, first).rebalance_at is not None
    assert sorted(aws.states().values()) == ["InService", "Pending"]
    aws.wait()
    assert aws.states()[first] == "Terminating:Wait"
    assert sorted(aws.states().values()) == ["InService", "Terminating:Wait"]


def test_after_a_live_migration_metadata_know_the_lifecycle_state_from_the_next_transition_on(
    aws: EmulatedAws,
) -> None:
    aws.group(1)
    aws.hook()
    (first,) = aws.ids()
    aws.faults.live_migration(first, "10.42.16.4")
    assert facts(aws, first).target_lifecycle_state is None
    (known,) = aws.autoscaling.describe_auto_scaling_instances(InstanceIds=[first])["AutoScalingInstances"]
    assert known["LifecycleState"] == "InService"
    aws.autoscaling.terminate_instance_in_auto_scaling_group(
        InstanceId=first, ShouldDecrementDesiredCapacity=True
    )
    assert facts(aws, first).target_lifecycle_state == "Terminated"
    aws.faults.live_migration(first, "10.42.16.4")
    (known,) = aws.autoscaling.describe_auto_scaling_instances(InstanceIds=[first])["AutoScalingInstances"]
    assert known["LifecycleState"] == "Terminating:Wait"


def test_a_group_that_does_not_rebalance_leaves_a_recommendation_to_the_instance(aws: EmulatedAws) -> None:
    aws.group(1)
    (first,) = aws.ids()
    aws.faults.rebalance(first)
    aws.wait(30)
    assert aws.states() == {first: "InService"}


def test_a_spot_notice_ends_in_a_power_cut(aws: EmulatedAws) -> None:
    aws.group(1)
    (instance_id,) = aws.ids()
    aws.faults.spot_notice(instance_id, 120)
    assert facts(aws, instance_id).spot_end is not None
    aws.wait(119)
    assert aws.states() == {instance_id: "InService"}, "no group acts on the notice itself"
    aws.wait(8)
    assert aws.machines.without_power == [instance_id]
    lost = aws.instance(instance_id)
    assert lost["State"]["Name"] == "terminated"
    assert lost["StateReason"]["Code"] == "Server.SpotInstanceTermination"
    assert instance_id not in aws.ids()
    assert len(aws.ids()) == 1


def test_an_instance_that_has_ended_before_is_not_reclaimed(aws: EmulatedAws) -> None:
    instance_id = ending(aws)
    aws.faults.spot_notice(instance_id, 120)
    aws.complete(InstanceId=instance_id)
    aws.wait(130)
    assert aws.machines.without_power == []
