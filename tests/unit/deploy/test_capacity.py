"""What a region lacks for a new environment is said before anything is created."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airkiln_deploy import template
from airkiln_deploy.capacity import ADDRESSES, EXPIRATION, VCPUS, Planned, addresses, check, wanted
from airkiln_deploy.errors import DeployError

TEMPLATES = template.templates(str(Path(__file__).parents[3] / "cloudformation"))
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
ZONES = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]


def stack(kind: str, state: str = "absent", **given: Any) -> dict[str, Any]:  # noqa: ANN401 - parameters
    return {"kind": kind, "short": kind, "wanted": True, "state": state, "given": given}


def environment(**workers: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - parameters
    """A new environment: 3 addresses, 2 + 2 + 1 instances of 2 vCPUs, and its workers."""
    return [
        stack("network", Zones=ZONES),
        stack("database-step"),
        stack("webserver"),
        stack("scheduler"),
        stack("workers", **workers),
    ]


class Aws:
    """A region in which every type is offered in every zone, of 2 vCPUs, but of those that are named here."""

    def __init__(self) -> None:
        self.quotas = {ADDRESSES: 5.0, VCPUS: 256.0}
        self.addresses = 0
        self.running: list[dict[str, str]] = []
        self.lacking: dict[str, list[str]] = {}
        self.sizes = {"m7i.xlarge": 4}
        self.denied = ""

    def __call__(self, _: str) -> Aws:
        return self

    def get_service_quota(self, ServiceCode: str, QuotaCode: str) -> dict[str, Any]:  # noqa: N803 - boto's
        assert ServiceCode == "ec2"
        if self.denied:
            raise ClientError({"Error": {"Code": self.denied, "Message": "no"}}, "GetServiceQuota")
        return {"Quota": {"Value": self.quotas[QuotaCode]}}

    def describe_addresses(self) -> dict[str, Any]:
        return {"Addresses": [{}] * self.addresses}

    def describe_subnets(self, SubnetIds: list[str]) -> dict[str, Any]:  # noqa: N803 - boto's
        return {"Subnets": [{"AvailabilityZone": f"eu-west-1{each[-1]}"} for each in SubnetIds]}

    def get_paginator(self, operation: str) -> Pages:
        return Pages(self, operation)


class Pages:
    def __init__(self, aws: Aws, operation: str) -> None:
        self.aws, self.operation = aws, operation

    def paginate(self, Filters: list[dict[str, Any]], **_: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        names = Filters[0]["Values"]
        if self.operation == "describe_instances":
            yield {"Reservations": [{"Instances": self.aws.running}]}
        for name in names if self.operation != "describe_instances" else ():
            if self.operation == "describe_instance_types":
                size = {"DefaultVCpus": self.aws.sizes.get(name, 2)}
                yield {"InstanceTypes": [{"InstanceType": name, "VCpuInfo": size}]}
                continue
            zones = [zone for zone in ZONES if zone not in self.aws.lacking.get(name, ())]
            yield {"InstanceTypeOfferings": [{"InstanceType": name, "Location": zone} for zone in zones]}


def found(
    aws: Aws,
    stacks: list[Any],
    subnets: tuple[str, ...] = (),
    variables: Mapping[str, str] = MappingProxyType({}),
) -> tuple[list[str], list[str]]:
    answer = check(aws, Planned(stacks, TEMPLATES, list(subnets)), variables, NOW)
    return answer["problems"], answer["warnings"]


def test_a_region_that_has_everything_is_not_remarked_upon() -> None:
    assert found(Aws(), environment()) == ([], [])


def test_addresses_that_the_nat_gateways_would_not_get() -> None:
    aws = Aws()
    aws.addresses = 3
    ((problem,), warnings) = found(aws, environment())
    assert problem.startswith("Elastic IP addresses: the account has 3 of 5 in this region")
    assert f"--quota-code {ADDRESSES} --desired-value 6" in problem
    assert warnings == []


@pytest.mark.parametrize(
    ("given", "needed"),
    [({}, 3), ({"ZoneCount": 2}, 2), ({"NatGateways": "one"}, 1), ({"NatGateways": "none"}, 0)],
)
def test_a_new_network_takes_an_address_for_each_nat_gateway(given: dict[str, Any], needed: int) -> None:
    assert addresses([stack("network", **given)], TEMPLATES) == needed
    assert addresses([stack("network", "settled", **given)], TEMPLATES) == 0


def test_vcpus_for_the_first_instances_are_needed_and_for_all_of_them_only_remarked_upon() -> None:
    aws = Aws()
    aws.running = [
        {"InstanceType": "m7i.xlarge"},
        {"InstanceType": "c7i.large", "InstanceLifecycle": "spot"},
        {"InstanceType": "g5.xlarge"},
        {"InstanceType": "inf2.xlarge"},
    ]
    aws.quotas[VCPUS] = 14.0
    problems, (warning,) = found(aws, environment())
    assert problems == []
    assert "the account runs 4 of 14 in this region, and with the new groups at their MaxSize 62" in warning
    aws.quotas[VCPUS] = 13.0
    (problem,), warnings = found(aws, environment())
    assert "the account runs 4 of 13 in this region, and with the new groups' first instances 14" in problem
    assert f"--quota-code {VCPUS} --desired-value 62" in problem
    assert warnings == []


def test_spot_instances_and_other_families_do_not_count() -> None:
    most: dict[str, Any] = {"MinSize": 10, "MaxSize": 10}
    (pool,) = wanted([stack("workers", **most, OnDemandBase=2, OnDemandPercent="25")], TEMPLATES)
    assert (pool.first, pool.most) == (4, 4)
    aws = Aws()
    aws.quotas[VCPUS] = 1.0
    assert found(aws, [stack("workers", **most, InstanceType="g5.xlarge")]) == ([], [])


def test_groups_that_exist_take_nothing_more() -> None:
    aws = Aws()
    aws.quotas = {ADDRESSES: 0.0, VCPUS: 0.0}
    assert found(aws, [{**each, "state": "settled"} for each in environment()]) == ([], [])


def test_a_type_that_a_zone_does_not_have_is_named_with_its_stack() -> None:
    aws = Aws()
    aws.lacking = {"m7i.xlarge": ["eu-west-1b", "eu-west-1c"]}
    (problem,), _ = found(aws, environment())
    assert problem.startswith("workers: m7i.xlarge not offered in eu-west-1b, eu-west-1c: choose another")
    # A second type that is there will do, and zones without a subnet do not matter.
    assert found(aws, environment(SecondInstanceType="m6i.xlarge")) == ([], [])
    assert found(aws, environment(), ("subnet-a",)) == ([], [])
    problems, warnings = found(aws, [stack("workers", "settled")], ("subnet-a", "subnet-b"))
    assert (problems, len(warnings)) == ([], 1), "a group that exists runs elsewhere"


def test_a_quota_that_the_caller_may_not_read_is_said_and_prevents_nothing() -> None:
    aws = Aws()
    aws.denied = "AccessDeniedException"
    problems, warnings = found(aws, environment())
    assert problems == []
    assert all("allow servicequotas:GetServiceQuota" in each for each in warnings)
    assert len(warnings) == 2
    aws.denied = "TooManyRequestsException"
    with pytest.raises(DeployError, match="AWS refused GetServiceQuota"):
        found(aws, environment())


@pytest.mark.parametrize(
    ("minutes", "state", "refused"),
    [(59, "absent", True), (61, "absent", False), (14, "settled", True), (16, "settled", False)],
)
def test_credentials_that_end_before_the_deployment_does(minutes: int, state: str, refused: bool) -> None:
    stacks = [{**each, "state": state} for each in environment() if each["kind"] != "database-step"]
    # The database step's stack is removed when it has run: it alone is no beginning.
    stacks.append(stack("database-step"))
    end = (NOW + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")
    problems, _ = found(Aws(), stacks, variables={"AWS_SESSION_TOKEN": "token", EXPIRATION: end})
    assert [f"end in {minutes} minutes" in each for each in problems] == [True] * refused


@pytest.mark.parametrize(
    "variables",
    [
        {EXPIRATION: "2026-11-26T12:01:00Z"},
        {"AWS_SESSION_TOKEN": "t"},
        {"AWS_SESSION_TOKEN": "t", EXPIRATION: "soon"},
    ],
)
def test_credentials_whose_end_is_not_known_are_taken(variables: dict[str, str]) -> None:
    assert found(Aws(), environment(), variables=variables) == ([], [])
