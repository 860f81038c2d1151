"""Which subnet leads where, for each choice of NAT gateways and zones."""

from __future__ import annotations

import pytest

from rehearsal.aws.services.cloudformation.template import Json
from tests.stacks.static.template import Template

INTERNET = "InternetGateway"


def ways_out(**given: str) -> dict[str, str]:
    """Subnet -> what its default route leads to, or "nowhere"."""
    resources = Template("network").deployed(**given)

    def those(kind: str) -> list[Json]:
        return [r["Properties"] for r in resources.values() if r["Type"] == f"AWS::EC2::{kind}"]

    routes = {
        r["RouteTableId"]: r.get("NatGatewayId") or r["GatewayId"]
        for r in those("Route")
        if r["DestinationCidrBlock"] == "0.0.0.0/0"
    }
    tables = {r["SubnetId"]: r["RouteTableId"] for r in those("SubnetRouteTableAssociation")}
    subnets = [name for name, r in resources.items() if r["Type"] == "AWS::EC2::Subnet"]
    assert set(tables) == set(subnets), "a subnet has the VPC's main route table"
    return {subnet: routes.get(tables[subnet], "nowhere") for subnet in subnets}


def expected(zones: str, *nat: str) -> dict[str, str]:
    leads = dict(zip(zones, nat, strict=True))
    return {
        **{f"PublicSubnet{zone}": INTERNET for zone in zones},
        **{f"PrivateSubnet{zone}": leads[zone] for zone in zones},
        **{f"DatabaseSubnet{zone}": "nowhere" for zone in zones},
    }


@pytest.mark.parametrize(
    ("nat", "count", "expectation"),
    [
        ("per-zone", "3", expected("ABC", "NatGatewayA", "NatGatewayB", "NatGatewayC")),
        ("per-zone", "2", expected("AB", "NatGatewayA", "NatGatewayB")),
        ("one", "3", expected("ABC", "NatGatewayA", "NatGatewayA", "NatGatewayA")),
        ("one", "2", expected("AB", "NatGatewayA", "NatGatewayA")),
        ("none", "3", expected("ABC", "nowhere", "nowhere", "nowhere")),
        ("none", "2", expected("AB", "nowhere", "nowhere")),
    ],
)
def test_only_public_subnets_meet_the_internet_and_databases_lead_nowhere(
    nat: str, count: str, expectation: dict[str, str]
) -> None:
    assert ways_out(NatGateways=nat, ZoneCount=count) == expectation


@pytest.mark.parametrize("nat", ["per-zone", "one", "none"])
def test_no_gateway_is_paid_for_that_no_route_uses(nat: str) -> None:
    resources = Template("network").deployed(NatGateways=nat)
    gateways = {name for name, r in resources.items() if r["Type"] == "AWS::EC2::NatGateway"}
    assert gateways == {way for way in ways_out(NatGateways=nat).values() if way.startswith("Nat")}


def test_every_subnet_has_addresses_of_its_own() -> None:
    subnets = [r for r in Template("network").deployed().values() if r["Type"] == "AWS::EC2::Subnet"]
    assert len({r["Properties"]["CidrBlock"] for r in subnets}) == len(subnets) == 9


@pytest.mark.parametrize("nat", ["per-zone", "none"])
def test_s3_is_reached_without_leaving_the_network(nat: str) -> None:
    endpoint = Template("network").deployed(NatGateways=nat)["S3Endpoint"]["Properties"]
    assert endpoint["RouteTableIds"] == [f"PrivateRouteTable{zone}" for zone in "ABC"]


def test_without_nat_every_service_that_instances_call_has_an_endpoint() -> None:
    services = {
        r["Properties"]["ServiceName"].removeprefix("com.amazonaws.eu-west-1.")
        for r in Template("endpoints").deployed().values()
    }
    asked_for = "ssm ssmmessages ec2messages sqs logs monitoring autoscaling ec2 cloudformation sts"
    assert services == {*asked_for.split(), "kms"}


def test_secrets_manager_has_an_endpoint_by_choice() -> None:
    assert "Secrets" in Template("endpoints").deployed(SecretsManager="yes")
    assert "Secrets" not in Template("endpoints").deployed()


def test_every_connection_is_logged() -> None:
    assert Template("buckets").deployed()["FlowLog"]["Properties"]["TrafficType"] == "ALL"


def test_a_vpc_that_has_flow_logs_of_its_own_gets_no_others() -> None:
    assert "FlowLog" not in Template("buckets").deployed(FlowLogs="false")
