"""A pool of workers as its stack creates it: a launch template, an Auto Scaling group, the hook for drains.

It makes the calls of EC2 and Auto Scaling that cloudformation/workers.yaml leads to, so that a test needs no
stack. Left out: subnets per zone, several instance types, Spot.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from rehearsal.aws.account import aws_region
from rehearsal.aws.client import Client, client
from rehearsal.aws.instances import list_instances
from rehearsal.deployment import parameters
from rehearsal.deployment.host import Host
from rehearsal.deployment.instances import ENVIRONMENT_TAG, POOL_TAG, ROLE_TAG
from rehearsal.errors import RehearsalError
from rehearsal.region import Region
from rehearsal.waiting import wait_until

HOOK = "airkiln-drain"
HEARTBEAT = 60
"""Seconds that the hook waits for a heartbeat; the stack waits longer."""
WAITS = {
    "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
    "HeartbeatTimeout": HEARTBEAT,
    "DefaultResult": "CONTINUE",
}
WORKER_UNITS = "airflow-worker@*.service"
POLL = 0.5
"""Seconds between two looks at a group: each starts a program or two on the machines' own cores."""


@dataclass(frozen=True)
class Member:
    """An instance of the group, as Auto Scaling describes it."""

    id: str
    state: str
    protected: bool


@dataclass(frozen=True)
class WorkerGroup:
    """The Auto Scaling group of one pool."""

    region: Region
    pool: str = "default"

    @property
    def group(self) -> str:
        """The group's name, as in the stack."""
        return f"airkiln-{parameters.NAME}-worker-{self.pool}"

    def create(self, image: str, *, desired: int, minimum: int = 0, maximum: int | None = None) -> None:
        """Create launch template, group and hook.

        :param desired: workers at first.
        :param maximum: how many the leader's autoscaling may want; by default no more than ``desired``.
        """
        tags = {
            "Name": self.group,
            ENVIRONMENT_TAG: parameters.NAME,
            ROLE_TAG: "worker",
            POOL_TAG: self.pool,
        } | parameters.task_role_tag()
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
        """Replace the group's hooks with one of this name.

        :param heartbeat: seconds until it expires without a heartbeat.
        """
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
        """Delete group and launch template if they exist, and end every worker without its hook."""
        if self.exists():
            client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName=self.group, ForceDelete=True)
            client("ec2").delete_launch_template(LaunchTemplateName=self.group)
            wait_until(f"{self.group} is deleted", lambda: not self.exists(), 60, every=POLL)

    def desired(self) -> int:
        """The group's desired capacity."""
        return int(self._described()[0]["DesiredCapacity"])

    def resize(self, desired: int) -> None:
        """Set the desired capacity."""
        client("autoscaling").set_desired_capacity(
            AutoScalingGroupName=self.group, DesiredCapacity=desired, HonorCooldown=False
        )

    def end(self, host: Host, *, replace: bool) -> None:
        """Terminate one instance through the group, with its hook.

        :param replace: whether the group launches another in its place.
        """
        client("autoscaling").terminate_instance_in_auto_scaling_group(
            InstanceId=host.name, ShouldDecrementDesiredCapacity=not replace
        )

    def members(self) -> list[Member]:
        """The group's instances, including those that are launching or terminating."""
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
        """The hosts on which a worker takes tasks."""
        return [host for host in self.hosts() if generations(host, "active")]

    def wait_until_serving(self, workers: int, seconds: float = 120) -> list[Host]:
        """Wait until at least so many workers take tasks, and return their hosts."""
        wait_until(
            f"{workers} workers of {self.group} take tasks",
            lambda: len(self.serving()) >= workers,
            seconds,
            every=POLL,
        )
        return self.serving()

    def _described(self) -> list[Client]:
        autoscaling = client("autoscaling")
        found: list[Client] = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[self.group])[
            "AutoScalingGroups"
        ]
        return found


def generations(host: Host, *states: str) -> list[int]:
    """The generations of a host's worker whose unit has one of these values of ActiveState, ascending."""
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
    except RehearsalError:  # the machine is ending
        return []
    units = [line.split()[0] for line in shown.splitlines() if line.strip()]
    return sorted(int(unit.partition("@")[2].partition(".")[0]) for unit in units)
