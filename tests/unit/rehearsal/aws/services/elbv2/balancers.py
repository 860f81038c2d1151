"""An emulated Elastic Load Balancing without machines, whose time the tests let pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from ipaddress import IPv4Address
from typing import Any

import botocore.session
import pytest
from moto import mock_aws
from moto.acm.models import acm_backends
from moto.ec2.models import ec2_backends
from moto.elbv2.models import elbv2_backends

from rehearsal.aws.services.elbv2 import install as elbv2
from rehearsal.aws.services.elbv2.backend import EmulatedELB, endpoints
from rehearsal.aws.services.elbv2.models import Check, Desired
from rehearsal.aws.services.patches import PATCHES
from rehearsal.aws.timers import Schedule

REGION = "us-east-1"


@dataclass
class RecordedServer:
    """A server that records what it is told."""

    desired: Desired | None = None
    state: str = ""
    loads: int = 0
    broken: bool = False
    found: dict[str, Check] = field(default_factory=dict)
    """The check of each target of the group ``web``."""

    def apply(self, desired: Desired, state: str) -> None:
        if self.broken:
            raise OSError("no machine")
        self.desired, self.state, self.loads = desired, state, self.loads + 1

    def health(self) -> dict[tuple[str, str], Check]:
        return {("targets:web", name): check for name, check in self.found.items()}

    def remove(self) -> None:
        self.desired = None

    @property
    def text(self) -> str:
        assert self.desired is not None
        return self.desired.configuration


@cache
def client(service: str) -> Any:  # noqa: ANN401 - botocore makes its clients' types at run time
    """A client of moto. Making it takes longer than most tests."""
    return botocore.session.get_session().create_client(service, region_name=REGION)


class Balancers:
    """The emulated service of one test, with a VPC."""

    def __init__(self) -> None:
        self.acm, self.ec2, self.elbv2 = client("acm"), client("ec2"), client("elbv2")
        self.server = RecordedServer()
        self.jobs: list[Callable[[], None]] = []
        self.moves: list[int] = []
        """How many load balancers have an address, each time that it is told of a change."""
        self.now = 1000.0

    def start(self) -> None:
        subnets = self.ec2.describe_subnets()["Subnets"]
        self.vpc, self.subnets = subnets[0]["VpcId"], [each["SubnetId"] for each in subnets[:2]]

    def settle(self) -> None:
        while self.jobs:
            self.jobs.pop(0)()

    def instance(self) -> tuple[str, IPv4Address]:
        image = self.ec2.register_image(Name="any", RootDeviceName="/dev/xvda")["ImageId"]
        (made,) = self.ec2.run_instances(
            ImageId=image, MinCount=1, MaxCount=1, SubnetId=self.subnets[0], InstanceType="t3.small"
        )["Instances"]
        return made["InstanceId"], IPv4Address(made["PrivateIpAddress"])

    def load_balancer(self, name: str = "internal") -> tuple[str, str]:
        """ARN and DNS name of a new load balancer."""
        given = {"Name": name, "Subnets": self.subnets, "Scheme": "internal"}
        (made,) = self.elbv2.create_load_balancer(**given)["LoadBalancers"]
        return str(made["LoadBalancerArn"]), str(made["DNSName"])

    def address(self, arn: str) -> IPv4Address:
        """The address of a load balancer's network interface."""
        described = [{"Name": "description", "Values": [f"ELB {arn.rpartition('loadbalancer/')[2]}"]}]
        (found,) = self.ec2.describe_network_interfaces(Filters=described)["NetworkInterfaces"]
        return IPv4Address(found["PrivateIpAddress"])

    def group(self, *targets: str, name: str = "web") -> str:
        """ARN of a new target group with these targets."""
        (made,) = self.elbv2.create_target_group(
            Name=name,
            Protocol="HTTP",
            Port=8080,
            VpcId=self.vpc,
            HealthCheckPath="/live",
            HealthCheckIntervalSeconds=10,
            HealthCheckTimeoutSeconds=5,
            HealthyThresholdCount=2,
            UnhealthyThresholdCount=3,
        )["TargetGroups"]
        arn = str(made["TargetGroupArn"])
        if targets:
            self.register(arn, *targets)
        return arn

    def listener(self, balancer: str, group: str, **more: Any) -> str:  # noqa: ANN401 - what the API takes
        given = {"Protocol": "HTTP", "Port": 80} | more
        forward = [{"Type": "forward", "TargetGroupArn": group}]
        made = self.elbv2.create_listener(LoadBalancerArn=balancer, DefaultActions=forward, **given)
        return str(made["Listeners"][0]["ListenerArn"])

    def register(self, group: str, *targets: str) -> None:
        self.elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": each} for each in targets])

    def deregister(self, group: str, *targets: str) -> None:
        self.elbv2.deregister_targets(TargetGroupArn=group, Targets=[{"Id": each} for each in targets])

    def health(self, group: str, *targets: str) -> dict[str, str]:
        """The state of each target."""
        asked = {"Targets": [{"Id": each} for each in targets]} if targets else {}
        found = self.elbv2.describe_target_health(TargetGroupArn=group, **asked)["TargetHealthDescriptions"]
        return {each["Target"]["Id"]: each["TargetHealth"]["State"] for each in found}

    def status(self) -> str:
        (found,) = self.elbv2.describe_load_balancers()["LoadBalancers"]
        return str(found["State"]["Code"])


@contextmanager
def emulate() -> Iterator[Balancers]:
    """Install the emulated service in this process until the block ends."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        patch.setattr("rehearsal.aws.services.elbv2.backend.COALESCE", 0)
        made = Balancers()
        patch.setattr(EmulatedELB, "submit", staticmethod(made.jobs.append))
        patch.setattr(EmulatedELB, "clock", staticmethod(lambda: made.now))
        PATCHES.install()
        elbv2.install(made.server, Schedule(), lambda: made.moves.append(len(endpoints())))
        _drop()
        try:
            made.start()
            yield made
        finally:
            elbv2.uninstall()
            PATCHES.uninstall()
            _drop()


def _drop() -> None:
    for backends in (elbv2_backends, ec2_backends, acm_backends):
        backends.clear()
