"""Groups keep their capacity: what they launch, what they terminate, and what they refuse."""

from __future__ import annotations

from collections import Counter

import pytest
from botocore.exceptions import ClientError
from moto.autoscaling.models import autoscaling_backends
from moto.ec2.models import ec2_backends

from rehearsal.aws.account import ACCOUNT
from rehearsal.aws.services.autoscaling.backend import EmulatedAutoScaling
from rehearsal.aws.services.ec2.backend import EmulatedEC2
from tests.unit.rehearsal.aws.emulated_aws import GROUP, Clients, EmulatedAws

ENVIRONMENT = {"Key": "airkiln:environment", "Value": "prod"}


def test_an_instance_is_in_service_once_its_machine_runs(aws: EmulatedAws) -> None:
    aws.group(0)
    aws.autoscaling.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=1)
    (instance_id,) = aws.ids()
    assert aws.states() == {instance_id: "Pending"}
    assert aws.instance(instance_id)["State"]["Name"] == "pending"
    aws.wait()
    assert aws.states() == {instance_id: "InService"}
    assert aws.machines.running == {instance_id}


def test_an_instance_has_the_settings_of_template_and_group(aws: EmulatedAws) -> None:
    aws.group(
        LaunchTemplate={"LaunchTemplateId": aws.template(InstanceType="c7i.large"), "Version": "1"},
        Tags=[
            ENVIRONMENT | {"PropagateAtLaunch": True},
            {"Key": "mine", "Value": "x", "PropagateAtLaunch": False},
        ],
    )
    instance = aws.instance(aws.ids()[0])
    assert instance["InstanceType"] == "c7i.large"
    assert instance["tags"]["airkiln:environment"] == "prod"
    assert instance["tags"]["aws:autoscaling:groupName"] == GROUP
    assert "mine" not in instance["tags"]
    data = aws.ec2.describe_instance_attribute(InstanceId=instance["InstanceId"], Attribute="userData")
    assert data["UserData"]["Value"] == "aGVsbG8="


def test_a_new_version_of_the_template_is_for_new_instances(aws: EmulatedAws) -> None:
    template = aws.template()
    aws.group(LaunchTemplate={"LaunchTemplateId": template, "Version": "1"})
    aws.ec2.create_launch_template_version(
        LaunchTemplateId=template, LaunchTemplateData={"ImageId": "ami-1", "InstanceType": "r7i.large"}
    )
    aws.autoscaling.update_auto_scaling_group(
        AutoScalingGroupName=GROUP, LaunchTemplate={"LaunchTemplateId": template, "Version": "2"}
    )
    aws.autoscaling.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=2)
    members = aws.described()["Instances"]
    assert [member["LaunchTemplate"]["Version"] for member in members] == ["1", "2"]
    assert [member["InstanceType"] for member in members] == ["m7i.xlarge", "r7i.large"]


def test_the_older_of_two_versions_is_terminated_first(aws: EmulatedAws) -> None:
    test_a_new_version_of_the_template_is_for_new_instances(aws)
    aws.wait()
    aws.autoscaling.update_auto_scaling_group(
        AutoScalingGroupName=GROUP, AvailabilityZones=["us-east-1a"], DesiredCapacity=1
    )
    aws.wait(5)
    assert [member["LaunchTemplate"]["Version"] for member in aws.described()["Instances"]] == ["2"]


def test_instances_are_spread_over_the_subnets(aws: EmulatedAws) -> None:
    subnets = [each["SubnetId"] for each in aws.ec2.describe_subnets()["Subnets"][:3]]
    aws.group(4, VPCZoneIdentifier=",".join(subnets))
    used = Counter(aws.instance(each)["SubnetId"] for each in aws.ids())
    assert sorted(used.values()) == [1, 1, 2]
    assert set(used) == set(subnets)


def test_scale_in_begins_where_there_are_most(aws: EmulatedAws) -> None:
    aws.group(4)
    aws.autoscaling.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=3)
    aws.wait()
    zones = [aws.instance(each)["Placement"]["AvailabilityZone"] for each in aws.ids()]
    assert sorted(zones) == ["us-east-1a", "us-east-1b", "us-east-1c"]


def test_a_policy_of_several_types_launches_the_first_and_its_share_of_spot(aws: EmulatedAws) -> None:
    policy = {
        "LaunchTemplate": {
            "LaunchTemplateSpecification": {"LaunchTemplateId": aws.template(), "Version": "1"},
            "Overrides": [{"InstanceType": "m6i.xlarge"}, {"InstanceType": "m5.xlarge"}],
        },
        "InstancesDistribution": {"OnDemandBaseCapacity": 1, "OnDemandPercentageAboveBaseCapacity": 0},
    }
    aws.group(3, MixedInstancesPolicy=policy)
    found = [aws.instance(each) for each in aws.ids()]
    assert {each["InstanceType"] for each in found} == {"m6i.xlarge"}
    assert [each.get("InstanceLifecycle") for each in found] == [None, "spot", "spot"]
    aws.autoscaling.update_auto_scaling_group(AutoScalingGroupName=GROUP, MinSize=1)
    assert aws.described()["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"]
    aws.autoscaling.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=4)
    assert len(aws.ids()) == 4


@pytest.mark.parametrize(("wanted", "bound"), [(6, "above max value 5"), (0, "below min value 1")])
def test_a_capacity_outside_the_bounds_is_refused(aws: EmulatedAws, wanted: int, bound: str) -> None:
    aws.group(1, MinSize=1)
    with pytest.raises(ClientError, match=f"New SetDesiredCapacity value {wanted} is {bound}") as refused:
        aws.autoscaling.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=wanted)
    assert refused.value.response["Error"]["Code"] == "ValidationError"


def test_bounds_that_contradict_each_other_are_refused(aws: EmulatedAws) -> None:
    with pytest.raises(ClientError, match="Desired capacity:9 must be between"):
        aws.group(9)
    assert not aws.autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    aws.ec2.delete_launch_template(LaunchTemplateName="workers")
    aws.group(1)
    with pytest.raises(ClientError, match="must be greater than or equal to min bound, 7"):
        aws.autoscaling.update_auto_scaling_group(AutoScalingGroupName=GROUP, MinSize=7)


def test_new_bounds_move_the_capacity(aws: EmulatedAws) -> None:
    aws.group(1)
    aws.autoscaling.update_auto_scaling_group(AutoScalingGroupName=GROUP, MinSize=3)
    assert aws.described()["DesiredCapacity"] == 3
    aws.wait()
    aws.autoscaling.update_auto_scaling_group(AutoScalingGroupName=GROUP, MinSize=0, MaxSize=2)
    aws.wait()
    assert len(aws.ids()) == aws.described()["DesiredCapacity"] == 2


def test_a_protected_instance_is_never_terminated_by_scale_in(aws: EmulatedAws) -> None:
    aws.group(3)
    kept = aws.ids()[:2]
    aws.autoscaling.set_instance_protection(
        AutoScalingGroupName=GROUP, InstanceIds=kept, ProtectedFromScaleIn=True
    )
    aws.autoscaling.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=0)
    aws.wait(60)
    assert aws.ids() == kept
    aws.autoscaling.set_instance_protection(
        AutoScalingGroupName=GROUP, InstanceIds=kept[:1], ProtectedFromScaleIn=False
    )
    aws.wait()
    assert aws.ids() == kept[1:]


def test_a_terminating_instance_cannot_be_protected(aws: EmulatedAws) -> None:
    aws.group(1)
    aws.hook()
    (instance_id,) = aws.ids()
    aws.end(instance_id)
    with pytest.raises(ClientError, match=f"{instance_id} is not in InService or EnteringStandby or Standby"):
        aws.autoscaling.set_instance_protection(
            AutoScalingGroupName=GROUP, InstanceIds=[instance_id], ProtectedFromScaleIn=True
        )
    with pytest.raises(ClientError, match="i-strange is not part of Auto Scaling group"):
        aws.autoscaling.set_instance_protection(
            AutoScalingGroupName=GROUP, InstanceIds=["i-strange"], ProtectedFromScaleIn=True
        )


def test_an_instance_terminated_by_id_is_replaced_unless_the_capacity_is_lowered(aws: EmulatedAws) -> None:
    aws.group(2)
    first, second = aws.ids()
    assert first in aws.end(first)["Description"]
    aws.wait()
    assert len(aws.ids()) == 2
    assert first not in aws.ids()
    aws.end(second, decrement=True)
    aws.wait()
    assert aws.described()["DesiredCapacity"] == 1
    assert len(aws.ids()) == 1


def test_the_capacity_is_not_lowered_below_the_minimum(aws: EmulatedAws) -> None:
    aws.group(1, MinSize=1)
    with pytest.raises(ClientError, match=r"Currently, desiredSize equals minSize \(1\)"):
        aws.end(aws.ids()[0], decrement=True)
    with pytest.raises(ClientError, match="No managed instance found for instance ID: i-strange"):
        aws.end("i-strange")


def test_terminating_twice_lowers_the_capacity_once(aws: EmulatedAws) -> None:
    aws.group(3)
    aws.hook()
    for _ in range(2):
        aws.end(aws.ids()[0], decrement=True)
    assert aws.described()["DesiredCapacity"] == 2


@pytest.mark.parametrize("ended", ["terminated", "stopped"])
def test_a_machine_that_ends_by_itself_is_replaced(aws: EmulatedAws, ended: str) -> None:
    aws.group(1)
    (lost,) = aws.ids()
    if ended == "terminated":
        aws.ec2.terminate_instances(InstanceIds=[lost])
    else:
        aws.ec2.stop_instances(InstanceIds=[lost])
    assert aws.states() == {lost: "InService"}, "nobody has looked yet"
    aws.wait(6)
    assert len(aws.ids()) == 1
    assert lost not in aws.ids()
    assert aws.instance(lost)["State"]["Name"] == "terminated"


def test_an_instance_marked_unhealthy_is_replaced_after_the_grace_period(aws: EmulatedAws) -> None:
    aws.group(1, HealthCheckGracePeriod=120)
    (judged,) = aws.ids()
    aws.autoscaling.set_instance_health(InstanceId=judged, HealthStatus="Unhealthy")
    aws.wait(10)
    assert aws.ids() == [judged]
    aws.autoscaling.set_instance_health(
        InstanceId=judged, HealthStatus="Unhealthy", ShouldRespectGracePeriod=False
    )
    aws.wait(6)
    assert judged not in aws.ids()
    (judged,) = aws.ids()
    aws.wait(121)
    aws.autoscaling.set_instance_health(InstanceId=judged, HealthStatus="Unhealthy")
    aws.wait(6)
    assert judged not in aws.ids()


def test_a_launch_that_fails_is_tried_again_after_a_while(aws: EmulatedAws) -> None:
    aws.machines.broken = True
    aws.group(1)
    aws.machines.broken = False
    aws.wait(20)
    assert aws.ids() == []
    aws.wait(20)
    assert list(aws.states().values()) == ["InService"]
    found = aws.autoscaling.describe_scaling_activities(AutoScalingGroupName=GROUP)["Activities"]
    assert {each["StatusCode"] for each in found} == {"Successful", "Failed"}


def test_a_launch_that_ec2_refuses_is_among_the_activities(aws: EmulatedAws) -> None:
    aws.group(0)
    aws.ec2.deregister_image(ImageId="ami-1")
    aws.autoscaling.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=1)
    (activity,) = aws.autoscaling.describe_scaling_activities(AutoScalingGroupName=GROUP)["Activities"]
    assert activity["StatusCode"] == "Failed"
    assert "ami-1" in activity["StatusMessage"]


def test_suspended_processes_do_nothing(aws: EmulatedAws) -> None:
    aws.group(1)
    aws.autoscaling.suspend_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["Launch"])
    aws.autoscaling.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=2)
    aws.wait(10)
    assert len(aws.ids()) == 1
    aws.autoscaling.resume_processes(AutoScalingGroupName=GROUP)
    aws.wait()
    assert len(aws.ids()) == 2


def test_a_group_goes_once_its_instances_have(aws: EmulatedAws) -> None:
    aws.group(2)
    members = aws.ids()
    with pytest.raises(ClientError, match="while there are instances") as refused:
        aws.autoscaling.delete_auto_scaling_group(AutoScalingGroupName=GROUP)
    assert refused.value.response["Error"]["Code"] == "ResourceInUse"
    aws.hook()
    aws.autoscaling.delete_auto_scaling_group(AutoScalingGroupName=GROUP, ForceDelete=True)
    assert aws.described()["Status"] == "Delete in progress"
    aws.wait()
    assert not aws.autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    assert {aws.instance(each)["State"]["Name"] for each in members} == {"terminated"}
    aws.autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=GROUP,
        MinSize=0,
        MaxSize=1,
        AvailabilityZones=["us-east-1a"],
        LaunchTemplate={"LaunchTemplateName": "workers"},
    )
    assert not aws.autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=GROUP)["LifecycleHooks"]


def test_a_name_is_taken_once(aws: EmulatedAws) -> None:
    aws.group(1)
    aws.ec2.delete_launch_template(LaunchTemplateName="workers")
    with pytest.raises(ClientError, match="already exists") as refused:
        aws.group(1)
    assert refused.value.response["Error"]["Code"] == "AlreadyExists"


def test_an_instance_on_standby_is_replaced_and_comes_back(aws: EmulatedAws) -> None:
    aws.group(1)
    (instance_id,) = aws.ids()
    aws.autoscaling.enter_standby(
        AutoScalingGroupName=GROUP, InstanceIds=[instance_id], ShouldDecrementDesiredCapacity=True
    )
    aws.wait()
    assert aws.states() == {instance_id: "Standby"}
    aws.autoscaling.exit_standby(AutoScalingGroupName=GROUP, InstanceIds=[instance_id])
    aws.wait()
    assert aws.states() == {instance_id: "InService"}


def test_instances_in_service_are_targets(aws: EmulatedAws) -> None:
    vpc = aws.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    arn = aws.elbv2.create_target_group(Name="web", Protocol="HTTP", Port=8080, VpcId=vpc)["TargetGroups"][0][
        "TargetGroupArn"
    ]
    aws.group(2, TargetGroupARNs=[arn])

    def targets() -> set[str]:
        health = aws.elbv2.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        return {each["Target"]["Id"] for each in health if each["TargetHealth"]["State"] != "draining"}

    assert targets() == set(aws.ids())
    aws.hook()
    aws.end(aws.ids()[0], decrement=True)
    assert targets() == {each for each, state in aws.states().items() if state == "InService"}


def test_an_instance_that_never_registered_keeps_no_other_from_leaving(aws: EmulatedAws) -> None:
    vpc = aws.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    made = aws.elbv2.create_target_group(Name="web", Protocol="HTTP", Port=8080, VpcId=vpc)
    aws.group(1, TargetGroupARNs=[made["TargetGroups"][0]["TargetGroupArn"]])
    (first,) = aws.ids()
    aws.autoscaling.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=2)
    assert sorted(aws.states().values()) == ["InService", "Pending"]
    aws.end(first, decrement=True)
    aws.wait()
    assert list(aws.states().values()) == ["InService"]
    assert first not in aws.ids()


def test_where_nothing_is_installed_moto_is_as_it_was(clients: Clients) -> None:
    clients.autoscaling.create_launch_configuration(
        LaunchConfigurationName="moto",
        InstanceType="t3.micro",
        ImageId=clients.ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"],
    )
    clients.autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=GROUP,
        LaunchConfigurationName="moto",
        MinSize=1,
        MaxSize=1,
        AvailabilityZones=["us-east-1a"],
    )
    member = clients.autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"][0]["Instances"][0]
    assert member["LifecycleState"] == "InService"
    assert not isinstance(ec2_backends[ACCOUNT]["us-east-1"], EmulatedEC2)
    assert not isinstance(autoscaling_backends[ACCOUNT]["us-east-1"], EmulatedAutoScaling)
