"""Which packets a zone loses that is cut off."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from rehearsal.chaos.faults import zones
from rehearsal.errors import RehearsalError
from rehearsal.linux.addresses import GATEWAY, POSTGRES


class Clients:
    """Clients of an AWS with subnets in two zones, and the database in the second."""

    SUBNETS = (("us-east-1a", "10.42.0.0/20"), ("us-east-1a", "10.7.0.0/20"), ("us-east-1b", "10.7.16.0/20"))

    def describe_subnets(self, Filters: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - EC2's name
        (wanted,) = Filters
        assert wanted["Name"] == "availability-zone"
        return {"Subnets": [{"CidrBlock": cidr} for zone, cidr in self.SUBNETS if zone in wanted["Values"]]}

    def describe_db_instances(self) -> dict[str, Any]:
        return {"DBInstances": [{"AvailabilityZone": "us-east-1b"}]}


@pytest.fixture(autouse=True)
def clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zones, "client", lambda _: Clients())


def within(address: IPv4Address, found: list[IPv4Network]) -> bool:
    return any(address in network for network in found)


def test_a_zone_is_its_subnets() -> None:
    found = zones.networks("us-east-1a")
    assert within(IPv4Address("10.7.0.4"), found)
    assert within(IPv4Address("10.42.1.4"), found)
    assert not within(IPv4Address("10.7.16.4"), found)


def test_the_rehearsals_own_services_are_in_no_zone() -> None:
    assert not within(GATEWAY, zones.networks("us-east-1a"))


def test_the_database_is_in_the_zone_of_its_instance() -> None:
    assert within(POSTGRES, zones.networks("us-east-1b"))
    assert not within(POSTGRES, zones.networks("us-east-1a"))


def test_a_zone_without_subnets_is_refused() -> None:
    with pytest.raises(RehearsalError, match="us-east-1x has no subnet"):
        zones.networks("us-east-1x")


def test_what_crosses_the_zones_border_is_dropped_and_its_own_hosts_services_are_not() -> None:
    lines = zones.rules([IPv4Network("10.7.0.0/20"), IPv4Network("10.42.0.10/32")]).splitlines()
    assert "set zone { type ipv4_addr; flags interval; elements = { 10.7.0.0/20, 10.42.0.10/32 }; }" in lines
    assert [line for line in lines if line.endswith(" drop")] == [
        "ip saddr @zone ip daddr != @zone counter drop",
        "ip saddr != @zone ip daddr @zone counter drop",
        "ip saddr @zone ip daddr != 169.254.0.0/16 counter drop",
        "ip daddr @zone ip saddr != 169.254.0.0/16 counter drop",
    ]
