"""An emulated AWS in this process. Its machines are only recorded; tests let its time pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from moto.autoscaling.models import autoscaling_backends
from moto.ec2.models import ec2_backends
from moto.elb.models import elb_backends
from moto.elbv2.models import elbv2_backends

from rehearsal.aws.fault_api import FaultApi
from rehearsal.aws.services.autoscaling import backend as autoscaling
from rehearsal.aws.services.autoscaling import install as autoscaling_install
from rehearsal.aws.services.ec2 import backend as ec2
from rehearsal.aws.services.ec2 import install as ec2_install
from rehearsal.aws.services.ec2.images import Image
from rehearsal.aws.services.ec2.security_groups import Firewall
from rehearsal.aws.services.patches import PATCHES
from rehearsal.aws.timers import Schedule
from rehearsal.linux.machine import Specification
from rehearsal.region import Region

Client = Any
HOOK = "airkiln-drain"
GROUP = "airkiln-prod-worker-default"


class Machines:
    """A hypervisor without machines. Its jobs run when ``settle`` is called."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], None]] = []
        self.running: set[str] = set()
        self.without_power: list[str] = []
        self.broken = False

    def submit(self, _: str, job: Callable[[], None]) -> None:
        self.jobs.append(job)

    def settle(self) -> None:
        while self.jobs:
            job = self.jobs.pop(0)
            if self.broken:
                with pytest.raises(OSError, match="no machine"):
                    job()
            else:
                job()

    def create(self, _: Specification) -> None:
        if self.broken:
            raise OSError("no machine")

    def start(self, instance_id: str) -> None:
        self.running.add(instance_id)

    def stop(self, instance_id: str) -> None:
        self.running.discard(instance_id)

    def remove(self, instance_id: str) -> None:
        self.running.discard(instance_id)

    def cut_power(self, instance_id: str) -> None:
        self.without_power.append(instance_id)


class Clients:
    """botocore clients of the emulated services."""

    def __init__(self) -> None:
        session = botocore.session.get_session()
        self.autoscaling: Client = session.create_client("autoscaling", region_name="us-east-1")
        self.ec2: Client = session.create_client("ec2", region_name="us-east-1")
        self.elbv2: Client = session.create_client("elbv2", region_name="us-east-1")


class EmulatedAws:
    """The emulated AWS of one test."""

    def __init__(self, clients: Clients, machines: Machines, rulesets: list[str]) -> None:
        self.autoscaling, self.ec2, self.elbv2 = clients.autoscaling, clients.ec2, clients.elbv2
        self.machines = machines
        self.rulesets = rulesets
        """What nft was told, in order."""
        self.now = 1000.0
        self.schedule = Schedule(lambda: self.now)
        self.target_health: dict[str, dict[str, str]] = {}
        self.cpu: float | None = None
        autoscaling_install.install(
            self.schedule,
            lambda arn: self.target_health.get(arn, {}),
            average_cpu=lambda _: self.cpu,
        )
        self.faults = FaultApi(
            self.schedule,
            ec2.backend().emulated,
            lambda instance_id: autoscaling.backend().recommend_rebalance(instance_id),
        )

    def wait(self, seconds: float = 1.0) -> None:
        """Let time pass. Machines boot and end at once; scheduled jobs run when they are due."""
        until = self.now + seconds
        while True:
            self.machines.settle()
            self.schedule.run_due()
            self.machines.settle()
            due = self.schedule.next_at()
            if due is None or due > until:
                break
            self.now = due
        self.now = until

    def target_group(self, name: str = "web") -> str:
        """Create a target group and return its ARN."""
        vpc = self.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        made = self.elbv2.create_target_group(Name=name, Protocol="HTTP", Port=8080, VpcId=vpc)
        return str(made["TargetGroups"][0]["TargetGroupArn"])

    def suspend(self, *processes: str) -> None:
        self.autoscaling.suspend_processes(AutoScalingGroupName=GROUP, ScalingProcesses=processes)

    def resume(self) -> None:
        self.autoscaling.resume_processes(AutoScalingGroupName=GROUP)

    def template(self, **more: Any) -> str:  # noqa: ANN401 - a request's data
        """Create a launch template and return its id."""
        data = {"ImageId": "ami-1", "InstanceType": "m7i.xlarge", "UserData": "aGVsbG8="} | more
        made = self.ec2.create_launch_template(LaunchTemplateName="workers", LaunchTemplateData=data)
        return str(made["LaunchTemplate"]["LaunchTemplateId"])

    def group(self, desired: int = 1, **more: Any) -> None:  # noqa: ANN401 - a request's data
        """Create a group in three zones and wait until its instances run."""
        options: dict[str, Any] = {"MinSize": 0, "MaxSize": 5, "DesiredCapacity": desired}
        options |= {"AvailabilityZones": ["us-east-1a", "us-east-1b", "us-east-1c"]} | more
        if "MixedInstancesPolicy" not in options and "LaunchTemplate" not in options:
            options["LaunchTemplate"] = {"LaunchTemplateId": self.template(), "Version": "1"}
        if "VPCZoneIdentifier" in options:
            del options["AvailabilityZones"]
        self.autoscaling.create_auto_scaling_group(AutoScalingGroupName=GROUP, **options)
        self.wait()

    def hook(
        self, seconds: int = 60, name: str = HOOK, result: str = "CONTINUE", event: str = "TERMINATING"
    ) -> None:
        self.autoscaling.put_lifecycle_hook(
            AutoScalingGroupName=GROUP,
            LifecycleHookName=name,
            LifecycleTransition=f"autoscaling:EC2_INSTANCE_{event}",
            HeartbeatTimeout=seconds,
            DefaultResult=result,
        )

    def described(self) -> dict[str, Any]:
        found: dict[str, Any] = self.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])[
            "AutoScalingGroups"
        ][0]
        return found

    def states(self) -> dict[str, str]:
        """Return the lifecycle state of each instance."""
        return {each["InstanceId"]: each["LifecycleState"] for each in self.described()["Instances"]}

    def resize(self, desired: int) -> None:
        self.autoscaling.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=desired)

    def update(self, **settings: Any) -> None:  # noqa: ANN401 - a request's data
        self.autoscaling.update_auto_scaling_group(AutoScalingGroupName=GROUP, **settings)

    def ids(self) -> list[str]:
        return list(self.states())

    def instance(self, instance_id: str) -> dict[str, Any]:
        """Return EC2's description of an instance, with its tags as a dictionary."""
        found: dict[str, Any] = self.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0][
            "Instances"
        ][0]
        return found | {"tags": {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}}

    def end(self, instance_id: str, *, decrement: bool = False) -> dict[str, Any]:
        activity: dict[str, Any] = self.autoscaling.terminate_instance_in_auto_scaling_group(
            InstanceId=instance_id, ShouldDecrementDesiredCapacity=decrement
        )["Activity"]
        return activity

    def heartbeat(self, **who: str) -> None:
        self.autoscaling.record_lifecycle_action_heartbeat(
            AutoScalingGroupName=GROUP, LifecycleHookName=HOOK, **who
        )

    def complete(self, result: str = "CONTINUE", hook: str = HOOK, **who: str) -> None:
        self.autoscaling.complete_lifecycle_action(
            AutoScalingGroupName=GROUP, LifecycleHookName=hook, LifecycleActionResult=result, **who
        )


def drop_backends() -> None:
    """Drop moto's backends, so that the next request makes one of the class that is installed then."""
    for backends in (autoscaling_backends, ec2_backends, elb_backends, elbv2_backends):
        backends.clear()


@contextmanager
def emulate(clients: Clients, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[EmulatedAws]:
    """Install the emulated EC2 and Auto Scaling in this process, with one image, until the block ends."""
    machines = Machines()
    region = Region("unit")
    monkeypatch.setattr(Region, "home", property(lambda _: folder))
    region.prepare()
    drop_backends()
    PATCHES.install()
    rulesets: list[str] = []
    ec2_install.install(region, machines, Firewall(rulesets.append))
    ec2.EmulatedEC2.catalogue.add(Image("ami-1", "airkiln", []))
    ec2.backend().publish(Image("ami-1", "airkiln", []))
    try:
        yield EmulatedAws(clients, machines, rulesets)
    finally:
        autoscaling_install.uninstall()
        ec2_install.uninstall()
        PATCHES.uninstall()
        drop_backends()
