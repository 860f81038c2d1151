"""What the autoscaler asks AWS for: each request in full, and each answer to its last page."""

from __future__ import annotations

from typing import Any

import pytest

from airkiln.autoscale import amazon
from airkiln.autoscale.amazon import FILTERED, LOOK_BACK, PERIOD
from tests.unit.airkiln.autoscale.stubs import GROUP, Stubs, described

NOW = 1_700_000_059.9
MINUTE = 1_700_000_040
"""The whole minute that NOW is in."""


def addresses(*instances: tuple[str, str]) -> dict[str, Any]:
    """One reservation of these instances, each with its private address."""
    return {
        "Reservations": [
            {"Instances": [{"InstanceId": one, "PrivateIpAddress": address} for one, address in instances]}
        ]
    }


def test_every_page_of_groups_is_read(stubs: Stubs) -> None:
    asked = {"AutoScalingGroupNames": ["a", "b", "c"], "MaxRecords": 100}
    for token, name, following in (("", "a", "1"), ("1", "b", "2"), ("2", "c", "")):
        answer = {"AutoScalingGroups": [described(name)], **({"NextToken": following} if following else {})}
        asked_now = {**asked, **({"NextToken": token} if token else {})}
        stubs.answer("autoscaling", "describe_auto_scaling_groups", answer, asked_now)
    assert list(stubs.amazon.groups(["a", "b", "c"])) == ["a", "b", "c"]


def test_every_page_of_addresses_is_read_for_each_batch_of_instances(stubs: Stubs) -> None:
    names = [f"i-{number}" for number in range(FILTERED + 1)]
    for batch in (names[:FILTERED], names[FILTERED:]):
        asked = {"Filters": [{"Name": "instance-id", "Values": batch}]}
        first, last = addresses((batch[0], "10.0.0.1")), addresses((batch[-1], "10.0.0.2"))
        stubs.answer("ec2", "describe_instances", {**first, "NextToken": "more"}, asked)
        stubs.answer("ec2", "describe_instances", {"NextToken": "last"}, {**asked, "NextToken": "more"})
        stubs.answer("ec2", "describe_instances", last, {**asked, "NextToken": "last"})
    assert stubs.amazon.addresses(names) == {
        names[0]: "10.0.0.1",
        names[FILTERED - 1]: "10.0.0.2",
        names[FILTERED]: "10.0.0.2",
    }


def test_usage_asks_for_cpu_and_memory_of_each_group_in_the_last_minutes(
    stubs: Stubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airkiln.autoscale.amazon.time.time", lambda: NOW)

    def query(name: str, namespace: str, metric: str, group: str) -> dict[str, Any]:
        dimensions = [{"Name": "AutoScalingGroupName", "Value": group}]
        described = {"Namespace": namespace, "MetricName": metric, "Dimensions": dimensions}
        return {"Id": name, "MetricStat": {"Metric": described, "Period": 60, "Stat": "Average"}}

    asked = {
        "MetricDataQueries": [
            query("cpu0", "AWS/EC2", "CPUUtilization", GROUP),
            query("memory0", "Airkiln/prod", "mem_used_percent", GROUP),
            query("cpu1", "AWS/EC2", "CPUUtilization", "other"),
            query("memory1", "Airkiln/prod", "mem_used_percent", "other"),
        ],
        "StartTime": MINUTE - 300,
        "EndTime": MINUTE + 60,
        "ScanBy": "TimestampDescending",
    }
    assert (LOOK_BACK, PERIOD) == (300, 60)
    stubs.answer("cloudwatch", "get_metric_data", {"MetricDataResults": []}, asked)
    stubs.amazon.usage([GROUP, "other"], "Airkiln/prod")


def test_each_client_is_made_once_and_before_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, str | None]] = []

    def make(service: str, region: str | None) -> object:
        made.append((service, region))
        return object()

    cloud = amazon.Amazon("eu-west-1", make)
    assert made == []
    cloud.prepare()
    cloud.prepare()
    assert made == [(service, "eu-west-1") for service in ("autoscaling", "ec2", "cloudwatch")]
