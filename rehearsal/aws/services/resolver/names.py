"""The names of this AWS: endpoints of databases, load balancers, and records of hosted zones.

Source: the RDS user guide ("Finding the connection information"), the Elastic Load Balancing user guide ("DNS
name"), the Route 53 developer guide ("Choosing between alias and non-alias records").

Left out: names of instances, of EFS and of VPC endpoints; records but A; which VPC a hosted zone belongs to.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from moto.ec2.models import ec2_backends
from moto.elbv2.models import elbv2_backends
from moto.rds.models import rds_backends
from moto.route53.models import RecordSet, route53_backends

from rehearsal.aws.account import ACCOUNT, aws_region
from rehearsal.linux.addresses import POSTGRES

SERVED = ("available", "modifying", "backing-up", "rebooting")
"""Statuses of a database instance that has an endpoint."""


def addresses(name: str) -> list[IPv4Address] | None:
    """Return the addresses of a name, none for one that does not exist, and None if it is not of this AWS.

    :param name: in lower case, without the last dot.
    """
    region = aws_region()
    if name.endswith(f".{region}.rds.amazonaws.com"):
        return _database(name)
    if name.endswith(f".{region}.elb.amazonaws.com"):
        return _load_balancer(name)
    if name.endswith(f".efs.{region}.amazonaws.com"):
        return []
    return _record(name)


def _database(name: str) -> list[IPv4Address]:
    databases = rds_backends[ACCOUNT][aws_region()].databases.values()
    found = [each for each in databases if each.address.lower() == name and each.status in SERVED]
    return [POSTGRES] if found else []


def _load_balancer(name: str) -> list[IPv4Address]:
    """The addresses of its network interfaces, whose descriptions end in the end of its ARN."""
    balancers = list(elbv2_backends[ACCOUNT][aws_region()].load_balancers.values())
    ends = [each.arn.rpartition("loadbalancer/")[2] for each in balancers if each.dns_name.lower() == name]
    interfaces = list(ec2_backends[ACCOUNT][aws_region()].enis.values())
    return [
        IPv4Address(str(each.private_ip_address))
        for each in interfaces
        if each.description in [f"ELB {end}" for end in ends]
    ]


def _record(name: str) -> list[IPv4Address] | None:
    zones = [
        zone
        for zone in route53_backends[ACCOUNT]["aws"].zones.values()
        if f".{name}.".endswith(f".{zone.name.lower()}")
    ]
    if not zones:
        return None
    record = next(
        (
            each
            for zone in zones
            for each in zone.rrsets
            if each.type == "A" and each.name.lower().rstrip(".") == name
        ),
        None,
    )
    return _addresses_of(record) if record else []


def _addresses_of(record: RecordSet) -> list[IPv4Address]:
    if record.alias_target:
        return addresses(str(record.alias_target["DNSName"]).lower().rstrip(".")) or []
    return [IPv4Address(value) for value in record.records]
