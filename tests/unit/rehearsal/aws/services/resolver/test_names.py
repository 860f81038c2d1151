"""Which addresses the names of the emulated AWS have."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

import pytest
from moto.rds.models import rds_backends
from moto.route53.models import route53_backends

from rehearsal.aws.account import ACCOUNT
from rehearsal.aws.services.resolver.names import addresses
from rehearsal.linux.addresses import POSTGRES
from tests.unit.rehearsal.aws.services.elbv2.balancers import REGION, Balancers, client, emulate


@pytest.fixture
def aws() -> Iterator[Balancers]:
    with emulate() as made:
        rds_backends.clear()
        route53_backends.clear()
        yield made


def record(name: str, **what: Any) -> None:  # noqa: ANN401 - what the API takes
    """A record of type A in the hosted zone example.internal."""
    route53 = client("route53")
    zone = route53.create_hosted_zone(Name="example.internal", CallerReference=name)["HostedZone"]
    change = {"Action": "CREATE", "ResourceRecordSet": {"Name": name, "Type": "A"} | what}
    route53.change_resource_record_sets(HostedZoneId=zone["Id"], ChangeBatch={"Changes": [change]})


def database(aws: Balancers) -> str:
    made = client("rds").create_db_instance(
        DBInstanceIdentifier="prod",
        DBInstanceClass="db.t4g.medium",
        Engine="postgres",
        EngineVersion="17",
        MasterUsername="master",
        MasterUserPassword="letters2",
        AllocatedStorage=20,
    )
    return str(made["DBInstance"]["Endpoint"]["Address"])


def test_a_database_has_its_servers_address_once_it_is_available(aws: Balancers) -> None:
    name = database(aws)
    (record,) = rds_backends[ACCOUNT][REGION].databases.values()
    record.status = "creating"
    assert addresses(name) == []
    record.status = "available"
    assert addresses(name) == [POSTGRES]


def test_a_deleted_database_has_no_address_and_nobody_else_is_asked(aws: Balancers) -> None:
    name = database(aws)
    client("rds").delete_db_instance(DBInstanceIdentifier="prod", SkipFinalSnapshot=True)
    assert addresses(name) == []


def test_a_load_balancer_has_its_own_address_whatever_its_targets(aws: Balancers) -> None:
    target, _ = aws.instance()
    (arn, name), (other, _) = aws.load_balancer(), aws.load_balancer("other")
    aws.listener(arn, aws.group(target))
    assert addresses(name.lower()) == [aws.address(arn)]
    assert aws.address(arn) != aws.address(other)


def test_a_load_balancer_that_is_deleted_has_no_address(aws: Balancers) -> None:
    arn, name = aws.load_balancer()
    aws.elbv2.delete_load_balancer(LoadBalancerArn=arn)
    assert addresses(name.lower()) == []


def test_an_alias_has_the_addresses_of_what_it_names(aws: Balancers) -> None:
    arn, name = aws.load_balancer()
    alias = {"DNSName": name, "HostedZoneId": "Z1", "EvaluateTargetHealth": False}
    record("airflow.example.internal", AliasTarget=alias)
    assert addresses("airflow.example.internal") == [aws.address(arn)]


def test_a_record_has_its_values(aws: Balancers) -> None:
    record("host.example.internal", TTL=60, ResourceRecords=[{"Value": "10.20.0.9"}])
    assert addresses("host.example.internal") == [IPv4Address("10.20.0.9")]


def test_a_hosted_zone_answers_for_all_of_its_names_and_for_no_other(aws: Balancers) -> None:
    record("host.example.internal", TTL=60, ResourceRecords=[{"Value": "10.20.0.9"}])
    assert addresses("nothing.example.internal") == []
    assert addresses("an-example.internal") is None


def test_a_file_system_has_no_server(aws: Balancers) -> None:
    assert aws.vpc
    assert addresses(f"fs-0123456789abcdef0.efs.{REGION}.amazonaws.com") == []


def test_a_name_of_the_internet_is_not_answered_here(aws: Balancers) -> None:
    assert aws.vpc
    assert addresses("deb.debian.org") is None
