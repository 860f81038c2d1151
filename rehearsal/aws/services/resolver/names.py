"""The names of this AWS: endpoints of databases, load balancers, and records of hosted zones.

A load balancer's name has the addresses of the running instances in its target groups: its listeners are
records here, and nothing balances. So a client reaches the targets' port, and not the listener's.
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
    elb = elbv2_backends[ACCOUNT][aws_region()]
    balancers = {arn for arn, each in elb.load_balancers.items() if each.dns_name.lower() == name}
    targets = {
        target
        for group in elb.target_groups.values()
        if balancers & set(group.load_balancer_arns)
        for target in group.targets
    }
    instances = ec2_backends[ACCOUNT][aws_region()].all_instances()
    return sorted(
        IPv4Address(each.private_ip) for each in instances if each.id in targets and each.state == "running"
    )


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
