"""A zone that is cut off: no packet passes between its subnets and the rest of the region.

As by the action ``aws:network:disrupt-connectivity`` on the zone's subnets with the scope ``all`` (AWS Fault
Injection Service, actions reference): it denies what enters and what leaves a subnet. Machines of the zone
run on, and reach each other and the services of their own host: instance metadata and the VPC's DNS server.
They lose everything else: other zones, the AWS APIs, the outside, and commands in the region. Connections
that exist are cut as well, and nobody gets an error. An instance that is launched into the zone meanwhile is
cut off from its start.

Left out: what AWS does at an outage (Auto Scaling launches elsewhere, load balancers shift traffic, RDS fails
over) follows from health checks, if at all, and not from this fault.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network

from rehearsal.aws.client import client
from rehearsal.deployment.cluster import Cluster
from rehearsal.deployment.host import Host
from rehearsal.errors import RehearsalError
from rehearsal.linux.addresses import LINK_LOCAL, POSTGRES, RESERVED
from rehearsal.linux.network import Network
from rehearsal.region import Region

TABLE = "airkiln_fault_zone"


@contextmanager
def cut_off(region: Region, zone: str) -> Iterator[None]:
    """Cut a zone off for the time of the block. The caller must be in the region's network.

    :param zone: the zone's name, such as ``us-east-1a``.
    :raises RehearsalError: it has no subnet.
    """
    Network(region).apply(rules(networks(zone)))
    try:
        yield
    finally:
        heal(region)


@contextmanager
def cut_off_zone_of_leader(_: Cluster, leader: Host) -> Iterator[float]:
    """Cut off the zone of the host that leads; a fault of a leader (`schedulers`)."""
    described = client("ec2").describe_instances(InstanceIds=[leader.name])["Reservations"][0]["Instances"][0]
    at = time.monotonic()
    with cut_off(leader.region, str(described["Placement"]["AvailabilityZone"])):
        yield at


def heal(region: Region) -> None:
    """Let every zone reach the others again; no effect if none is cut off."""
    Network(region).apply(f"table ip {TABLE}\ndelete table ip {TABLE}\n")


def networks(zone: str) -> list[IPv4Network]:
    """The networks of a zone: those of its subnets, and the database server if its instance is there.

    :raises RehearsalError: the zone has no subnet.
    """
    wanted = [{"Name": "availability-zone", "Values": [zone]}]
    subnets = client("ec2").describe_subnets(Filters=wanted)["Subnets"]
    if not subnets:
        raise RehearsalError(f"The zone {zone} has no subnet; there is nothing to cut off.")
    databases = client("rds").describe_db_instances()["DBInstances"]
    has_database = any(each.get("AvailabilityZone") == zone for each in databases)
    found = [part for each in subnets for part in _without_services(IPv4Network(each["CidrBlock"]))]
    return sorted([*found, *([IPv4Network(POSTGRES)] if has_database else [])])


def rules(zone: Iterable[IPv4Network]) -> str:
    """The rules of nftables that cut these networks off."""
    chains = {
        "forward": ("ip saddr @zone ip daddr != @zone", "ip saddr != @zone ip daddr @zone"),
        "input": (f"ip saddr @zone ip daddr != {LINK_LOCAL}",),
        "output": (f"ip daddr @zone ip saddr != {LINK_LOCAL}",),
    }
    lines = [
        f"table ip {TABLE}",
        f"delete table ip {TABLE}",
        f"table ip {TABLE} {{",
        f"set zone {{ type ipv4_addr; flags interval; elements = {{ {', '.join(map(str, zone))} }}; }}",
    ]
    for hook, matches in chains.items():
        lines += [f"chain {hook} {{", f"type filter hook {hook} priority -300;"]
        lines += [f"{match} counter drop" for match in matches]
        lines += ["}"]
    return "\n".join([*lines, "}\n"])


def _without_services(network: IPv4Network) -> list[IPv4Network]:
    """A subnet's network without the addresses of the rehearsal's own services."""
    return list(network.address_exclude(RESERVED)) if RESERVED.subnet_of(network) else [network]
