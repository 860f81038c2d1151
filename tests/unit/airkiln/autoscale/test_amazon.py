"""The calls as botocore sends them, checked by its own descriptions."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from botocore.stub import ANY

from airkiln.autoscale.amazon import FILTERED, Usage, batches
from airkiln.autoscale.model import Group, Instance
from tests.unit.airkiln.autoscale.stubs import GROUP, Stubs, described

LIMIT = 64
"""MiB that the daemon may have, resident."""


def test_groups_come_page_by_page(stubs: Stubs) -> None:
    one = {
        "InstanceId": "i-1",
        "AvailabilityZone": "eu-west-1b",
        "LifecycleState": "Terminating:Wait",
        "HealthStatus": "Healthy",
        "ProtectedFromScaleIn": True,
    }
    asked = {"AutoScalingGroupNames": [GROUP, "other"], "MaxRecords": 100}
    stubs.answer(
        "autoscaling",
        "describe_auto_scaling_groups",
        {"AutoScalingGroups": [described(GROUP, one)], "NextToken": "more"},
        asked,
    )
    stubs.answer(
        "autoscaling",
        "describe_auto_scaling_groups",
        {"AutoScalingGroups": [described("other")]},
        {**asked, "NextToken": "more"},
    )
    assert stubs.amazon.groups([GROUP, "other"]) == {
        GROUP: Group(0, 9, 2, (Instance("i-1", None, "Terminating:Wait", True, "eu-west-1b"),)),
        "other": Group(0, 9, 2, ()),
    }


def test_addresses_are_asked_for_by_filters_of_a_length_that_ec2_takes(stubs: Stubs) -> None:
    names = [f"i-{number}" for number in range(FILTERED + 1)]
    for some in (names[:FILTERED], names[FILTERED:]):
        reservation = {
            "Instances": [{"InstanceId": some[0], "PrivateIpAddress": "10.0.0.1"}, {"InstanceId": "i-x"}]
        }
        stubs.answer(
            "ec2",
            "describe_instances",
            {"Reservations": [reservation]},
            {"Filters": [{"Name": "instance-id", "Values": some}]},
        )
    assert stubs.amazon.addresses(names) == {names[0]: "10.0.0.1", names[FILTERED]: "10.0.0.1"}


def test_the_changing_calls(stubs: Stubs) -> None:
    stubs.answer(
        "autoscaling",
        "set_desired_capacity",
        {},
        {"AutoScalingGroupName": GROUP, "DesiredCapacity": 3, "HonorCooldown": False},
    )
    stubs.answer(
        "autoscaling",
        "terminate_instance_in_auto_scaling_group",
        {},
        {"InstanceId": "i-1", "ShouldDecrementDesiredCapacity": True},
    )
    stubs.answer(
        "autoscaling",
        "set_instance_protection",
        {},
        {"AutoScalingGroupName": GROUP, "InstanceIds": ["i-2"], "ProtectedFromScaleIn": True},
    )
    stubs.amazon.set_desired(GROUP, 3)
    stubs.amazon.terminate("i-1")
    stubs.amazon.protect(GROUP, ["i-2"], protected=True)


def test_usage_is_the_newest_minute_of_each_group(stubs: Stubs) -> None:
    def result(name: str, *values: float) -> dict[str, Any]:
        return {"Id": name, "Values": list(values)}

    answer = {"MetricDataResults": [result("cpu0", 91.0, 10.0), result("memory0"), result("memory1", 50.0)]}
    asked = {"MetricDataQueries": ANY, "StartTime": ANY, "EndTime": ANY, "ScanBy": "TimestampDescending"}
    stubs.answer("cloudwatch", "get_metric_data", answer, asked)
    assert stubs.amazon.usage([GROUP, "other"], "Airkiln/prod") == {
        GROUP: Usage(91.0, None),
        "other": Usage(None, 50.0),
    }


def test_metrics_are_sent(stubs: Stubs) -> None:
    data = [{"MetricName": "Workers", "Value": 1.0, "StorageResolution": 1}]
    stubs.answer("cloudwatch", "put_metric_data", {}, {"Namespace": "Airkiln", "MetricData": data})
    stubs.amazon.publish("Airkiln", data)


def test_batches_hold_everything_in_order() -> None:
    assert list(batches("abcde", 2)) == [("a", "b"), ("c", "d"), ("e",)]
    assert list(batches([], 2)) == []


def test_all_clients_together_stay_within_the_memory() -> None:
    program = (
        "from airkiln.autoscale import daemon, commands; from airkiln.autoscale.amazon import Amazon; "
        "Amazon('eu-west-1').prepare(); "
        "print(next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmRSS')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert int(done.stdout) / 1024 < LIMIT
