"""Instance refreshes through the API: their statuses, what they launch, rollback, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.cloudwatch.models import cloudwatch_backends

from rehearsal.aws.account import ACCOUNT
from rehearsal.aws.services.autoscaling.lifecycle import ImpossibleTransitionError
from rehearsal.aws.services.autoscaling.refresh import Preferences, Progress
from rehearsal.aws.services.autoscaling.refreshing import ACTIVE, TRANSITIONS, Refresh
from tests.unit.rehearsal.aws.emulated_aws import GROUP, EmulatedAws

WARMUP = 30


class Refreshed:
    """A group of version 1 of a template that has two versions, and its refresh."""

    def __init__(
        self,
        aws: EmulatedAws,
        desired: int = 2,
        version: str = "1",
        image: str = "ami-1",
        **group: Any,  # noqa: ANN401 - a request's data
    ) -> None:
        self.aws = aws
        self.template = aws.template()
        aws.group(
            desired,
            LaunchTemplate={"LaunchTemplateId": self.template, "Version": version},
            DefaultInstanceWarmup=WARMUP,
            **group,
        )
        aws.ec2.create_launch_template_version(
            LaunchTemplateId=self.template,
            LaunchTemplateData={"ImageId": image, "InstanceType": "r7i.large"},
        )
        self.before = aws.ids()

    def start(self, version: str | None = "2", **preferences: Any) -> str:  # noqa: ANN401 - a request's data
        desired: dict[str, Any] = {}
        if version is not None:
            template = {"LaunchTemplateId": self.template, "Version": version}
            desired = {"DesiredConfiguration": {"LaunchTemplate": template}}
        answer = self.aws.autoscaling.start_instance_refresh(
            AutoScalingGroupName=GROUP, Preferences=preferences, **desired
        )
        return str(answer["InstanceRefreshId"])

    def described(self) -> dict[str, Any]:
        answer = self.aws.autoscaling.describe_instance_refreshes(AutoScalingGroupName=GROUP)
        found: dict[str, Any] = answer["InstanceRefreshes"][0]
        return found

    @property
    def status(self) -> str:
        return str(self.described()["Status"])

    @property
    def versions(self) -> list[str]:
        members = self.aws.described()["Instances"]
        return [
            each["LaunchTemplate"]["Version"] for each in members if each["LifecycleState"] == "InService"
        ]

    @property
    def own_version(self) -> str:
        return str(self.aws.described()["LaunchTemplate"]["Version"])

    def roll_back(self) -> None:
        self.aws.autoscaling.rollback_instance_refresh(AutoScalingGroupName=GROUP)

    def cancel(self, **options: bool) -> None:
        self.aws.autoscaling.cancel_instance_refresh(AutoScalingGroupName=GROUP, **options)


def test_a_refresh_goes_through_its_statuses_and_the_group_adopts_the_version(aws: EmulatedAws) -> None:
    group = Refreshed(aws)
    name = group.start(MinHealthyPercentage=50, BakeTime=100)
    first = group.described()
    assert (first["InstanceRefreshId"], first["Status"]) == (name, "Pending")
    assert (first["PercentageComplete"], first["InstancesToUpdate"]) == (0, 2)
    assert first["Preferences"] == {"MinHealthyPercentage": 50, "BakeTime": 100}
    aws.wait(2)
    assert group.status == "InProgress"
    aws.wait(WARMUP + 2)
    assert group.described()["PercentageComplete"] == 50
    assert group.own_version == "1", "it changes at the end"
    aws.wait(WARMUP + 2)
    assert group.status == "Baking"
    assert group.versions == ["2", "2"]
    aws.wait(100)
    last = group.described()
    assert (last["Status"], last["PercentageComplete"], last["InstancesToUpdate"]) == ("Successful", 100, 0)
    assert last["EndTime"]
    assert group.own_version == "2"


def test_without_a_desired_configuration_all_are_replaced_by_the_same(aws: EmulatedAws) -> None:
    group = Refreshed(aws)
    group.start(None, MinHealthyPercentage=0)
    aws.wait(WARMUP + 5)
    assert (group.status, group.versions) == ("Successful", ["1", "1"])
    assert not set(aws.ids()) & set(group.before)


def test_instances_that_match_can_be_skipped(aws: EmulatedAws) -> None:
    group = Refreshed(aws)
    group.start("1", SkipMatching=True)
    aws.wait(2)
    assert (group.status, aws.ids()) == ("Successful", group.before)


def test_with_a_full_minimum_the_replacement_is_launched_before(aws: EmulatedAws) -> None:
    group = Refreshed(aws, desired=1)
    group.start(MinHealthyPercentage=100)
    aws.wait(10)
    assert sorted(group.versions) == ["1", "2"]
    aws.wait(WARMUP)
    assert (group.status, group.versions) == ("Successful", ["2"])


def test_a_terminating_instance_waits_for_its_hook_during_a_refresh(aws: EmulatedAws) -> None:
    group = Refreshed(aws, desired=1)
    aws.hook(3600)
    group.start(MinHealthyPercentage=0)
    aws.wait(WARMUP + 5)
    assert aws.states()[group.before[0]] == "Terminating:Wait"
    assert group.status == "Successful"


def test_what_scales_out_meanwhile_has_the_new_version(aws: EmulatedAws) -> None:
    group = Refreshed(aws, desired=1)
    group.start(CheckpointPercentages=[50, 100], MinHealthyPercentage=0)
    aws.wait(WARMUP + 5)
    aws.resize(3)
    aws.wait(WARMUP + 5)
    assert group.versions == ["2", "2", "2"]


def test_protected_instances_are_waited_for_and_then_the_refresh_fails(aws: EmulatedAws) -> None:
    group = Refreshed(aws, desired=1, NewInstancesProtectedFromScaleIn=True)
    group.start()
    aws.wait(3500)
    assert group.status == "InProgress"
    assert group.before[0] in group.described()["StatusReason"]
    aws.wait(200)
    assert (group.status, aws.ids(), group.own_version) == ("Failed", group.before, "1")
    group.start(ScaleInProtectedInstances="Refresh")
    aws.wait(WARMUP + 5)
    assert (group.status, group.versions) == ("Successful", ["2"])


def test_an_instance_on_standby_is_terminated_if_asked_for(aws: EmulatedAws) -> None:
    group = Refreshed(aws)
    aside = group.before[0]
    aws.autoscaling.enter_standby(
        AutoScalingGroupName=GROUP, InstanceIds=[aside], ShouldDecrementDesiredCapacity=True
    )
    aws.wait()
    group.start(StandbyInstances="Terminate")
    aws.wait(WARMUP + 5)
    assert (group.status, group.versions, len(aws.ids())) == ("Successful", ["2"], 1)


def test_a_cancelled_refresh_leaves_what_it_has_replaced(aws: EmulatedAws) -> None:
    group = Refreshed(aws)
    group.start()
    aws.wait(2)
    group.cancel()
    assert group.status == "Cancelling"
    aws.resize(3)
    aws.wait(2)
    assert group.status == "Cancelled"
    assert sorted(group.versions) == ["1", "1", "2"]
    assert group.own_version == "1"
    with pytest.raises(ClientError, match="No in progress or pending Instance Refresh") as refused:
        group.cancel()
    assert refused.value.response["Error"]["Code"] == "ActiveInstanceRefreshNotFound"


def test_a_cancellation_need_not_wait(aws: EmulatedAws) -> None:
    group = Refreshed(aws)
    group.start()
    group.cancel(WaitForTransitioningInstances=False)
    assert group.status == "Cancelled"


def test_a_rollback_replaces_what_was_launched(aws: EmulatedAws) -> None:
    group = Refreshed(aws)
    group.start(MinHealthyPercentage=50)
    aws.wait(WARMUP + 10)
    assert group.versions == ["2", "2"], "the second is not warm yet"
    group.roll_back()
    found = group.described()
    assert (found["Status"], found["PercentageComplete"]) == ("RollbackInProgress", 50)
    assert found["RollbackDetails"]["PercentageCompleteOnRollback"] == 50
    aws.wait(2 * WARMUP + 10)
    found = group.described()
    assert (found["Status"], found["PercentageComplete"]) == ("RollbackSuccessful", 0)
    assert (group.versions, group.own_version) == (["1", "1"], "1")
    with pytest.raises(ClientError, match="No in progress or pending Instance Refresh"):
        group.roll_back()


def test_a_failed_refresh_rolls_back_by_itself_if_asked_for(aws: EmulatedAws) -> None:
    group = Refreshed(aws, image="ami-gone")
    group.start(MinHealthyPercentage=50, AutoRollback=True)
    aws.wait(3500)
    assert (group.status, group.versions) == ("InProgress", ["1"])
    assert "cannot be launched" in group.described()["StatusReason"]
    aws.wait(200)
    found = group.described()
    assert "cannot be launched" in found["RollbackDetails"]["RollbackReason"]
    assert (found["Status"], group.versions) == ("RollbackSuccessful", ["1", "1"])


@pytest.mark.parametrize(("automatic", "expected"), [(False, "Failed"), (True, "RollbackSuccessful")])
def test_an_alarm_fails_a_refresh(aws: EmulatedAws, automatic: bool, expected: str) -> None:
    alarms = cloudwatch_backends[ACCOUNT]["us-east-1"].alarms
    alarm = type("Alarm", (), {"state_value": "OK"})()
    alarms["errors"] = alarm
    try:
        group = Refreshed(aws, desired=1)
        group.start(AlarmSpecification={"Alarms": ["errors"]}, AutoRollback=automatic, BakeTime=60)
        aws.wait(WARMUP + 10)
        assert group.status == "Baking"
        alarm.state_value = "ALARM"
        aws.wait(WARMUP + 10)
    finally:
        del alarms["errors"]
    assert (group.status, group.own_version) == (expected, "1")


@pytest.mark.parametrize("process", ["InstanceRefresh", "Launch", "Terminate"])
def test_a_suspended_process_pauses_a_refresh(aws: EmulatedAws, process: str) -> None:
    group = Refreshed(aws)
    aws.suspend(process)
    group.start()
    aws.wait(WARMUP)
    assert aws.ids() == group.before
    aws.resume()
    aws.wait(2 * WARMUP + 10)
    assert group.status == "Successful"


def test_nothing_moves_between_zones_during_a_refresh(aws: EmulatedAws) -> None:
    group = Refreshed(aws, AvailabilityZones=["us-east-1a", "us-east-1b"])
    group.start(CheckpointPercentages=[50, 100], CheckpointDelay=600, MinHealthyPercentage=50)
    aws.wait(WARMUP + 5)
    aws.update(AvailabilityZones=["us-east-1c"])
    present = aws.ids()
    aws.wait(300)
    assert aws.ids() == present
    aws.wait(1200)
    zones = {each["AvailabilityZone"] for each in aws.described()["Instances"]}
    assert (group.status, zones) == ("Successful", {"us-east-1c"})


def test_another_configuration_is_refused_while_a_refresh_deploys_one(aws: EmulatedAws) -> None:
    group = Refreshed(aws)
    group.start()
    with pytest.raises(ClientError, match="An Instance Refresh is already in progress") as refused:
        group.start()
    assert refused.value.response["Error"]["Code"] == "InstanceRefreshInProgress"
    with pytest.raises(ClientError, match="An active instance refresh with a desired configuration exists"):
        aws.update(LaunchTemplate={"LaunchTemplateId": group.template, "Version": "2"})
    aws.update(MaxSize=9)
    group.cancel(WaitForTransitioningInstances=False)
    aws.update(LaunchTemplate={"LaunchTemplateId": group.template, "Version": "2"})


def test_refreshes_are_listed_the_newest_first_and_by_pages(aws: EmulatedAws) -> None:
    group = Refreshed(aws, desired=0)
    names = []
    for _ in range(3):
        names.append(group.start())
        aws.wait()
    first = aws.autoscaling.describe_instance_refreshes(AutoScalingGroupName=GROUP, MaxRecords=2)
    assert [each["InstanceRefreshId"] for each in first["InstanceRefreshes"]] == names[:0:-1]
    rest = aws.autoscaling.describe_instance_refreshes(
        AutoScalingGroupName=GROUP, NextToken=first["NextToken"]
    )
    assert [each["InstanceRefreshId"] for each in rest["InstanceRefreshes"]] == names[:1]
    (one,) = aws.autoscaling.describe_instance_refreshes(
        AutoScalingGroupName=GROUP, InstanceRefreshIds=names[1:2]
    )["InstanceRefreshes"]
    assert one["InstanceRefreshId"] == names[1]


REFUSED: dict[str, Callable[[Refreshed], Any]] = {
    "AutoRollback parameter cannot be set to true when": lambda group: group.start(None, AutoRollback=True),
    "Could not find the specified version 9": lambda group: group.start("9"),
    "The strategy ReplaceRootVolume is not emulated": lambda group: (
        group.aws.autoscaling.start_instance_refresh(AutoScalingGroupName=GROUP, Strategy="ReplaceRootVolume")
    ),
    "MinHealthyPercentage must be 0 or more, and 100": lambda group: group.start(MinHealthyPercentage=101),
    "A MaxHealthyPercentage needs a Min": lambda group: group.start(MaxHealthyPercentage=120),
    "may be 100 more than MinHealthyPercentage": lambda group: group.start(
        MinHealthyPercentage=0, MaxHealthyPercentage=110
    ),
    "A CheckpointDelay needs CheckpointPercentages": lambda group: group.start(CheckpointDelay=60),
    "must be unique and in ascending order": lambda group: group.start(CheckpointPercentages=[50, 50]),
    "must be between 1 and 100": lambda group: group.start(CheckpointPercentages=[50, 101]),
    "BakeTime must be 0 or more, and 172800 at most": lambda group: group.start(BakeTime=172_801),
    "must be one of Refresh, Ignore, Wait, not Skip": lambda group: group.start(
        ScaleInProtectedInstances="Skip"
    ),
    "names the alarm gone, which does not exist": lambda group: group.start(
        AlarmSpecification={"Alarms": ["gone"]}
    ),
    "may name 10 alarms, not 11": lambda group: group.start(AlarmSpecification={"Alarms": ["one"] * 11}),
    "either a LaunchTemplate or a MixedInstancesPolicy": lambda group: (
        group.aws.autoscaling.start_instance_refresh(
            AutoScalingGroupName=GROUP,
            DesiredConfiguration={
                "LaunchTemplate": {"LaunchTemplateId": "lt-1"},
                "MixedInstancesPolicy": {"LaunchTemplate": {"Overrides": [{"InstanceType": "m5.large"}]}},
            },
        )
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_request_that_contradicts_the_reference_is_refused(aws: EmulatedAws, message: str) -> None:
    group = Refreshed(aws, desired=0)
    with pytest.raises(ClientError, match=message) as refused:
        REFUSED[message](group)
    assert refused.value.response["Error"]["Code"] == "ValidationError"


@pytest.mark.parametrize("version", ["$Latest", "$Default"])
def test_a_group_without_a_numbered_version_cannot_be_rolled_back(aws: EmulatedAws, version: str) -> None:
    group = Refreshed(aws, version=version)
    with pytest.raises(ClientError, match=r"launch template version \(\$Latest or \$Default\)"):
        group.start(AutoRollback=True)
    group.start()
    with pytest.raises(ClientError, match=r"launch template version \(\$Latest or \$Default\)") as refused:
        group.roll_back()
    assert refused.value.response["Error"]["Code"] == "IrreversibleInstanceRefresh"


def test_a_refresh_without_a_desired_configuration_cannot_be_rolled_back(aws: EmulatedAws) -> None:
    group = Refreshed(aws)
    group.start(None)
    with pytest.raises(ClientError, match="a desired configuration was not found"):
        group.roll_back()


def test_a_group_of_several_types_is_refreshed_to_another_policy(aws: EmulatedAws) -> None:
    template = aws.template()
    source = {"LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "1"}}
    spot = {"OnDemandBaseCapacity": 0, "OnDemandPercentageAboveBaseCapacity": 0}
    aws.group(
        1,
        MixedInstancesPolicy={
            "LaunchTemplate": source | {"Overrides": [{"InstanceType": "m6i.xlarge"}]},
            "InstancesDistribution": spot,
        },
    )
    wanted = {"LaunchTemplate": source | {"Overrides": [{"InstanceType": "m7i.xlarge"}]}}
    aws.autoscaling.start_instance_refresh(
        AutoScalingGroupName=GROUP,
        DesiredConfiguration={"MixedInstancesPolicy": wanted},
        Preferences={"SkipMatching": True, "InstanceWarmup": 0, "MinHealthyPercentage": 0},
    )
    aws.wait(5)
    (found,) = [aws.instance(each) for each in aws.ids()]
    assert (found["InstanceType"], found["InstanceLifecycle"]) == ("m7i.xlarge", "spot")
    policy = aws.described()["MixedInstancesPolicy"]
    assert policy["LaunchTemplate"]["Overrides"] == [{"InstanceType": "m7i.xlarge"}]
    assert policy["InstancesDistribution"]["OnDemandPercentageAboveBaseCapacity"] == 0


def test_the_table_of_statuses_is_closed_and_nothing_else_is_possible() -> None:
    ends = {after for each in TRANSITIONS.values() for after in each} - set(TRANSITIONS)
    assert set(TRANSITIONS) == set(ACTIVE)
    assert ends == {"Successful", "Failed", "Cancelled", "RollbackSuccessful", "RollbackFailed"}
    for status in ACTIVE:
        for after in set(ACTIVE) | ends:
            made = Refresh("g", Preferences(0.0), {}, None, None, frozenset(), Progress(0.0), status=status)
            if after in TRANSITIONS[status]:
                made.become(after)
            else:
                with pytest.raises(ImpossibleTransitionError):
                    made.become(after)
