"""The AWS calls of the autoscaling: groups, addresses, metrics, and the calls that change a group."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from airkiln.autoscale.model import Group, Instance
from airkiln.aws.clients import Clients, Make

SERVICES = ("autoscaling", "ec2", "cloudwatch")
"""The services that are called."""
AT_ONCE = 50
"""Instances that SetInstanceProtection takes at once."""
FILTERED = 200
"""Values that a filter of DescribeInstances takes."""
NAMED = 100
"""Records that a page of DescribeAutoScalingGroups holds at most."""
SENT = 1000
"""Metrics that PutMetricData takes at once."""
PERIOD = 60
"""Seconds of a data point that is read."""
LOOK_BACK = 300
"""Seconds in which the newest data point counts: an older one says nothing of now."""

Metric = dict[str, Any]


@dataclass(frozen=True)
class Usage:
    """Of a group's machines, in per cent; None where CloudWatch has no recent figure."""

    cpu: float | None = None
    memory: float | None = None


class Cloud(Protocol):
    """What `apply.py` calls. Any method may raise botocore's errors."""

    def groups(self, names: Sequence[str]) -> dict[str, Group]:
        """The groups that exist, by name; no instance's address is filled in."""
        ...

    def addresses(self, instances: Sequence[str]) -> dict[str, str]:
        """The private IPv4 addresses of instances that have one."""
        ...

    def set_desired(self, group: str, desired: int) -> None:
        """Set the desired capacity."""
        ...

    def terminate(self, instance: str) -> None:
        """End an instance by its group, which wants one fewer from then on."""
        ...

    def protect(self, group: str, instances: Sequence[str], *, protected: bool) -> None:
        """Protect instances from scale-in, or no longer."""
        ...


class Monitoring(Protocol):
    """What `figures.py` calls. Any method may raise botocore's errors."""

    def usage(self, names: Sequence[str], namespace: str) -> dict[str, Usage]:
        """How busy the groups' machines were in the newest minute that is known.

        :param namespace: where the CloudWatch agent of these machines publishes.
        """
        ...

    def publish(self, namespace: str, metrics: Sequence[Metric]) -> None:
        """Send metrics."""
        ...


class Amazon:
    """Both, with one client a service."""

    def __init__(self, region: str | None, make: Make | None = None) -> None:
        self._clients = Clients(region, make)

    def prepare(self) -> None:
        """Make the clients: botocore's session is for one thread, its clients are for any."""
        for service in SERVICES:
            self._clients.get(service)

    def groups(self, names: Sequence[str]) -> dict[str, Group]:
        """All groups in one call, or as many as there are pages."""
        found: dict[str, Group] = {}
        token: dict[str, str] = {}
        while True:
            page = self._clients.get("autoscaling").describe_auto_scaling_groups(
                AutoScalingGroupNames=list(names), MaxRecords=NAMED, **token
            )
            found |= {
                each["AutoScalingGroupName"]: _group(each) for each in page.get("AutoScalingGroups", ())
            }
            if not page.get("NextToken"):
                return found
            token = {"NextToken": page["NextToken"]}

    def addresses(self, instances: Sequence[str]) -> dict[str, str]:
        """A filter and not the list of ids: of an id that is gone, EC2 makes an error for all."""
        found: dict[str, str] = {}
        for some in batches(instances, FILTERED):
            token: dict[str, str] = {}
            while True:
                page = self._clients.get("ec2").describe_instances(
                    Filters=[{"Name": "instance-id", "Values": list(some)}], **token
                )
                found |= {
                    each["InstanceId"]: each["PrivateIpAddress"]
                    for reservation in page.get("Reservations", ())
                    for each in reservation.get("Instances", ())
                    if each.get("PrivateIpAddress")
                }
                if not page.get("NextToken"):
                    break
                token = {"NextToken": page["NextToken"]}
        return found

    def usage(self, names: Sequence[str], namespace: str) -> dict[str, Usage]:
        """One call for all groups."""
        queries = [
            {
                "Id": f"{what}{number}",
                "MetricStat": {
                    "Metric": {
                        "Namespace": where,
                        "MetricName": metric,
                        "Dimensions": [{"Name": "AutoScalingGroupName", "Value": name}],
                    },
                    "Period": PERIOD,
                    "Stat": "Average",
                },
            }
            for number, name in enumerate(names)
            for what, where, metric in (
                ("cpu", "AWS/EC2", "CPUUtilization"),
                ("memory", namespace, "mem_used_percent"),
            )
        ]
        end = int(time.time()) // PERIOD * PERIOD
        answer = self._clients.get("cloudwatch").get_metric_data(
            MetricDataQueries=queries,
            StartTime=end - LOOK_BACK,
            EndTime=end + PERIOD,
            ScanBy="TimestampDescending",
        )
        results = answer.get("MetricDataResults", ())
        newest = {each["Id"]: each["Values"][0] for each in results if each["Values"]}
        return {
            name: Usage(newest.get(f"cpu{number}"), newest.get(f"memory{number}"))
            for number, name in enumerate(names)
        }

    def set_desired(self, group: str, desired: int) -> None:
        """At once: the cool-down is ours, not the group's."""
        self._clients.get("autoscaling").set_desired_capacity(
            AutoScalingGroupName=group, DesiredCapacity=desired, HonorCooldown=False
        )

    def terminate(self, instance: str) -> None:
        """Its hook drains it first."""
        self._clients.get("autoscaling").terminate_instance_in_auto_scaling_group(
            InstanceId=instance, ShouldDecrementDesiredCapacity=True
        )

    def protect(self, group: str, instances: Sequence[str], *, protected: bool) -> None:
        """At most AT_ONCE instances."""
        self._clients.get("autoscaling").set_instance_protection(
            AutoScalingGroupName=group, InstanceIds=list(instances), ProtectedFromScaleIn=protected
        )

    def publish(self, namespace: str, metrics: Sequence[Metric]) -> None:
        """At most SENT metrics."""
        self._clients.get("cloudwatch").put_metric_data(Namespace=namespace, MetricData=list(metrics))


def _group(given: Mapping[str, Any]) -> Group:
    instances = [
        Instance(
            each["InstanceId"],
            None,
            each["LifecycleState"],
            bool(each.get("ProtectedFromScaleIn")),
            each.get("AvailabilityZone", ""),
        )
        for each in given.get("Instances", ())
    ]
    return Group(given["MinSize"], given["MaxSize"], given["DesiredCapacity"], tuple(instances))


def batches(names: Iterable[str], size: int) -> Iterable[tuple[str, ...]]:
    """In order, at most `size` at a time."""
    rest = iter(names)
    while some := tuple(islice(rest, size)):
        yield some
