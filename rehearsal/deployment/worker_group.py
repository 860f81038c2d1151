"""A pool of workers in the rehearsal, as its stack declares it: a launch template, a group, the drain's hook.

What is declared here is what cloudformation/workers.yaml says of the same objects, in EC2's and Auto
Scaling's own calls, so that a test needs no stack. Without zones' subnets, several instance types and Spot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address

from rehearsal.aws.account import aws_region
from rehearsal.aws.client import Client, client
from rehearsal.aws.instances import list_instances
from rehearsal.deployment import parameters
from rehearsal.deployment.cluster import Host
from rehearsal.deployment.instances import ENVIRONMENT_TAG, POOL_TAG, ROLE_TAG
from rehearsal.errors import RehearsalError
from rehearsal.region import Region
from rehearsal.waiting import wait_until

HOOK = "airkiln-drain"
HEARTBEAT = 60
"""Seconds that the hook waits for a heartbeat; the stack has more."""
WAITS = {
    "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
    "HeartbeatTimeout": HEARTBEAT,
    "DefaultResult": "CONTINUE",
}
WORKER_UNITS = "airflow-worker@*.service"


@dataclass(frozen=True)
class Member:
    """An instance of the group, as Auto Scaling describes it."""

    id: str
    state: str
    protected: bool


@dataclass(frozen=True)
class Fleet:
    """One pool's group."""

    region: Region
    pool: str = "default"

    @property
    def group(self) -> str:
        """The group's name, as the stack gives it."""
        return f"airkiln-{parameters.NAME}-worker-{self.pool}"

    def create(self, image: str, *, desired: int, minimum: int = 0, maximum: int | None = None) -> None:
        """Make launch template, group and hook, and have so many workers.

        :param maximum: without it there are never more; the leader's autoscaling follows the load up to it.
        """
        tags = {
            "Name": self.group,
            ENVIRONMENT_TAG: parameters.NAME,
            ROLE_TAG: "worker",
            POOL_TAG: self.pool,
        }
        client("ec2").create_launch_template(
            LaunchTemplateName=self.group,
            LaunchTemplateData={
                "ImageId": image,
                "InstanceType": "m7i.xlarge",
                "IamInstanceProfile": {"Name": parameters.PROFILE},
                "MetadataOptions": {"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
            },
        )
        client("autoscaling").create_auto_scaling_group(
            AutoScalingGroupName=self.group,
            LaunchTemplate={"LaunchTemplateName": self.group, "Version": "1"},
            MinSize=minimum,
            MaxSize=desired if maximum is None else maximum,
            DesiredCapacity=desired,
            AvailabilityZones=[aws_region() + "a"],
            LifecycleHookSpecificationList=[{"LifecycleHookName": HOOK, **WAITS}],
            Tags=[{"Key": name, "Value": value, "PropagateAtLaunch": True} for name, value in tags.items()],
        )

    def set_hook(self, name: str = HOOK, *, heartbeat: int = HEARTBEAT) -> None:
        """Have this hook and no other."""
        autoscaling = client("autoscaling")
        for each in autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=self.group)["LifecycleHooks"]:
            autoscaling.delete_lifecycle_hook(
                AutoScalingGroupName=self.group, LifecycleHookName=each["LifecycleHookName"]
            )
        waits = WAITS | {"HeartbeatTimeout": heartbeat}
        autoscaling.put_lifecycle_hook(AutoScalingGroupName=self.group, LifecycleHookName=name, **waits)

    def exists(self) -> bool:
        """Whether the group is there."""
        return bool(self._described())

    def remove(self) -> None:
        """Delete group and launch template, if they are there, and every worker at once."""
        if self.exists():
            client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName=self.group, ForceDelete=True)
            client("ec2").delete_launch_template(LaunchTemplateName=self.group)
            self.wait_until("the group has gone", lambda: not self.exists(), 60)

    def desired(self) -> int:
        """How many instances the group is to have."""
        return int(self._described()[0]["DesiredCapacity"])

    def resize(self, desired: int) -> None:
        """Have the group launch or end until it has so many."""
        client("autoscaling").set_desired_capacity(
            AutoScalingGroupName=self.group, DesiredCapacity=desired, HonorCooldown=False
        )

    def end(self, host: Host, *, replace: bool) -> None:
        """End one instance by name, with its hook; another is launched for it or not."""
        client("autoscaling").terminate_instance_in_auto_scaling_group(
            InstanceId=host.name, ShouldDecrementDesiredCapacity=not replace
        )

    def members(self) -> list[Member]:
        """The group's instances, those included that are on their way in or out."""
        groups = self._described()
        return [
            Member(str(each["InstanceId"]), str(each["LifecycleState"]), bool(each["ProtectedFromScaleIn"]))
            for group in groups
            for each in group["Instances"]
        ]

    def hosts(self) -> list[Host]:
        """The instances in service whose machine runs, by address."""
        wanted = {each.id for each in self.members() if each.state == "InService"}
        found = [
            Host(self.region, str(each["InstanceId"]), str(each["PrivateIpAddress"]))
            for each in list_instances("running")
            if each["InstanceId"] in wanted
        ]
        return sorted(found, key=lambda host: IPv4Address(host.address))

    def serving(self) -> list[Host]:
        """The hosts on which a worker consumes."""
        return [host for host in self.hosts() if generations(host, "active")]

    def wait_until(self, what: str, holds: Callable[[], bool], seconds: float, *, every: float = 0.5) -> None:
        """Ask until it is so; an answer takes a program or two, on the machines' own cores."""
        wait_until(f"{self.group}: {what}", holds, seconds, every=every)

    def wait_until_serving(self, workers: int, seconds: float = 120) -> list[Host]:
        """Wait until so many workers consume; which ones."""
        self.wait_until(f"{workers} workers consume", lambda: len(self.serving()) >= workers, seconds)
        return self.serving()

    def _described(self) -> list[Client]:
        autoscaling = client("autoscaling")
        found: list[Client] = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[self.group])[
            "AutoScalingGroups"
        ]
        return found


def generations(host: Host, *states: str) -> list[int]:
    """The generations of the worker on a host whose unit is in one of these states (ActiveState)."""
    asked = [
        "list-units",
        "--plain",
        "--no-legend",
        "--no-pager",
        f"--state={','.join(states)}",
        WORKER_UNITS,
    ]
    try:
        shown = host.systemctl(*asked, check=False)
    except RehearsalError:  # the machine goes
        return []
    units = [line.split()[0] for line in shown.splitlines() if line.strip()]
    return sorted(int(unit.partition("@")[2].partition(".")[0]) for unit in units)
