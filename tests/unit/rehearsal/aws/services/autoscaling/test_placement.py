"""Groups stay balanced over their zones, launch elsewhere without capacity, and keep their share of Spot."""

from __future__ import annotations

from collections import Counter

import pytest
from botocore.exceptions import ClientError
from moto.ec2.exceptions import EC2ClientError

from rehearsal.aws.services.ec2.backend import EmulatedEC2
from rehearsal.aws.services.patching import Moto
from tests.unit.rehearsal.aws.emulated_aws import GROUP, EmulatedAws

ZONES = ["us-east-1a", "us-east-1b", "us-east-1c"]


@pytest.fixture
def without_capacity(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Zones in which EC2 launches nothing. Add some."""
    zones: set[str] = set()
    launch = EmulatedEC2.run_instances

    def run_instances(self: EmulatedEC2, *args: Moto, **options: Moto) -> Moto:
        zone = options.get("placement")
        if options.get("subnet_id"):
            (subnet,) = self.describe_subnets(subnet_ids=[options["subnet_id"]])
            zone = subnet.availability_zone
        if zone in zones:
            raise EC2ClientError("InsufficientInstanceCapacity", f"There is no capacity in {zone}.")
        return launch(self, *args, **options)

    monkeypatch.setattr(EmulatedEC2, "run_instances", run_instances)
    return zones


def spread(aws: EmulatedAws) -> dict[str, int]:
    return dict(Counter(each["AvailabilityZone"] for each in aws.described()["Instances"]))


@pytest.mark.parametrize("subnets", [False, True])
def test_a_launch_goes_where_there_is_capacity(
    aws: EmulatedAws, without_capacity: set[str], *, subnets: bool
) -> None:
    without_capacity.add("us-east-1a")
    found = aws.ec2.describe_subnets(Filters=[{"Name": "availabilityZone", "Values": ZONES}])["Subnets"]
    options = {"VPCZoneIdentifier": ",".join(each["SubnetId"] for each in found)} if subnets else {}
    aws.group(4, **options)
    assert spread(aws) == {"us-east-1b": 2, "us-east-1c": 2}


def test_without_capacity_anywhere_the_launch_fails_and_is_tried_again(
    aws: EmulatedAws, without_capacity: set[str]
) -> None:
    without_capacity.update(ZONES)
    aws.group(1)
    (activity,) = aws.autoscaling.describe_scaling_activities(AutoScalingGroupName=GROUP)["Activities"]
    assert (activity["StatusCode"], aws.ids()) == ("Failed", [])
    assert "There is no capacity in us-east-1c" in activity["StatusMessage"]
    without_capacity.clear()
    aws.wait(40)
    assert len(aws.ids()) == 1


def test_a_group_is_balanced_once_a_zone_has_capacity_again(
    aws: EmulatedAws, without_capacity: set[str]
) -> None:
    without_capacity.add("us-east-1a")
    aws.group(4)
    aws.wait(285)
    without_capacity.clear()
    most = 0
    for _ in range(40):
        aws.wait(1)
        most = max(most, len(aws.ids()))
    assert sorted(spread(aws).values()) == [1, 1, 2]
    assert most == 5, "the replacement comes before"
    assert len(aws.ids()) == 4


def test_a_failed_attempt_to_balance_keeps_no_launch_from_happening(
    aws: EmulatedAws, without_capacity: set[str]
) -> None:
    without_capacity.add("us-east-1a")
    aws.group(4)
    aws.wait(1)
    aws.resize(5)
    aws.wait(1)
    assert len(aws.ids()) == 5


def test_a_suspended_azrebalance_moves_nothing(aws: EmulatedAws, without_capacity: set[str]) -> None:
    without_capacity.add("us-east-1a")
    aws.group(4)
    aws.suspend("AZRebalance")
    without_capacity.clear()
    before = aws.ids()
    aws.wait(700)
    assert aws.ids() == before


def test_instances_leave_a_zone_that_the_group_does_not_have_any_more(aws: EmulatedAws) -> None:
    aws.group(3)
    aws.update(AvailabilityZones=ZONES[:2])
    aws.wait(10)
    assert sorted(spread(aws).values()) == [1, 2]
    assert set(spread(aws)) == set(ZONES[:2])


def test_protected_instances_are_not_moved(aws: EmulatedAws) -> None:
    aws.group(3)
    aws.autoscaling.set_instance_protection(
        AutoScalingGroupName=GROUP, InstanceIds=aws.ids(), ProtectedFromScaleIn=True
    )
    before = aws.ids()
    aws.update(AvailabilityZones=ZONES[:1])
    aws.wait(700)
    assert aws.ids() == before


@pytest.mark.parametrize(
    ("policies", "ends"),
    [
        ([], 0),
        (["Default"], 0),
        (["OldestInstance"], 0),
        (["NewestInstance"], 2),
        (["OldestLaunchTemplate", "NewestInstance"], 1),
        (["AllocationStrategy"], 0),
        (["ClosestToNextInstanceHour", "NewestInstance"], 2),
    ],
)
def test_termination_policies_apply_in_their_order(aws: EmulatedAws, policies: list[str], ends: int) -> None:
    template = aws.template()
    aws.group(2, AvailabilityZones=ZONES[:1], LaunchTemplate={"LaunchTemplateId": template, "Version": "1"})
    data = {"ImageId": "ami-1", "InstanceType": "m7i.large"}
    aws.ec2.create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData=data)
    options = {"TerminationPolicies": policies} if policies else {}
    aws.update(LaunchTemplate={"LaunchTemplateId": template, "Version": "2"}, DesiredCapacity=3, **options)
    aws.wait()
    before = aws.ids()
    aws.resize(2)
    aws.wait()
    assert aws.ids() == [each for at, each in enumerate(before) if at != ends]


def test_what_is_no_policy_or_process_is_refused(aws: EmulatedAws) -> None:
    aws.group(0)
    with pytest.raises(ClientError, match="The termination policy Cheapest is not one of Default"):
        aws.update(TerminationPolicies=["Cheapest"])
    with pytest.raises(ClientError, match="The process Health is not one of Launch"):
        aws.suspend("Health")
    with pytest.raises(ClientError, match="AutoScalingGroup name not found"):
        aws.autoscaling.suspend_processes(AutoScalingGroupName="gone")


def test_scale_in_keeps_the_share_of_on_demand_instances(aws: EmulatedAws) -> None:
    source = {"LaunchTemplateSpecification": {"LaunchTemplateId": aws.template(), "Version": "1"}}
    policy = {
        "LaunchTemplate": source | {"Overrides": [{"InstanceType": "m7i.large"}]},
        "InstancesDistribution": {"OnDemandBaseCapacity": 1, "OnDemandPercentageAboveBaseCapacity": 0},
    }
    aws.group(3, AvailabilityZones=ZONES[:1], MixedInstancesPolicy=policy)
    aws.resize(1)
    aws.wait()
    (left,) = aws.ids()
    assert "InstanceLifecycle" not in aws.instance(left)
