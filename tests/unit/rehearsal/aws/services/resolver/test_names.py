"""Which addresses the names of the emulated AWS have."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

import botocore.session
import pytest
from moto import mock_aws
from moto.rds.models import rds_backends

from rehearsal.aws.account import ACCOUNT
from rehearsal.aws.services.resolver.names import addresses
from rehearsal.linux.addresses import POSTGRES

REGION = "us-east-1"


class Aws:
    """moto with a VPC, and what the tests put in it."""

    def __init__(self) -> None:
        session = botocore.session.get_session()

        def client(service: str) -> Any:  # noqa: ANN401 - botocore makes its clients' types at run time
            return session.create_client(service, region_name=REGION)

        self.ec2, self.elbv2, self.rds = client("ec2"), client("elbv2"), client("rds")
        self.route53 = client("route53")
        subnets = self.ec2.describe_subnets()["Subnets"]
        self.vpc, self.subnets = subnets[0]["VpcId"], [each["SubnetId"] for each in subnets[:2]]

    def instance(self) -> tuple[str, IPv4Address]:
        image = self.ec2.register_image(Name="any", RootDeviceName="/dev/xvda")["ImageId"]
        (made,) = self.ec2.run_instances(
            ImageId=image, MinCount=1, MaxCount=1, SubnetId=self.subnets[0], InstanceType="t3.small"
        )["Instances"]
        return made["InstanceId"], IPv4Address(made["PrivateIpAddress"])

    def load_balancer(self, *targets: str) -> str:
        """A load balancer with one listener and one target group; returns its name."""
        (made,) = self.elbv2.create_load_balancer(Name="internal", Subnets=self.subnets, Scheme="internal")[
            "LoadBalancers"
        ]
        (group,) = self.elbv2.create_target_group(Name="web", Protocol="HTTP", Port=8080, VpcId=self.vpc)[
            "TargetGroups"
        ]
        forward = [{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}]
        self.elbv2.create_listener(
            LoadBalancerArn=made["LoadBalancerArn"], Protocol="HTTP", Port=80, DefaultActions=forward
        )
        if targets:
            self.elbv2.register_targets(
                TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": target} for target in targets]
            )
        return str(made["DNSName"])

    def record(self, name: str, **what: Any) -> None:  # noqa: ANN401 - what the API takes
        """A record of type A in the hosted zone example.internal."""
        zone = self.route53.create_hosted_zone(Name="example.internal", CallerReference=name)["HostedZone"]
        change = {"Action": "CREATE", "ResourceRecordSet": {"Name": name, "Type": "A"} | what}
        self.route53.change_resource_record_sets(HostedZoneId=zone["Id"], ChangeBatch={"Changes": [change]})


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield Aws()


def database(aws: Aws) -> str:
    made = aws.rds.create_db_instance(
        DBInstanceIdentifier="prod",
        DBInstanceClass="db.t4g.medium",
        Engine="postgres",
        EngineVersion="17",
        MasterUsername="master",
        MasterUserPassword="letters2",
        AllocatedStorage=20,
    )
    return str(made["DBInstance"]["Endpoint"]["Address"])


def test_a_database_has_its_servers_address_once_it_is_available(aws: Aws) -> None:
    name = database(aws)
    (record,) = rds_backends[ACCOUNT][REGION].databases.values()
    record.status = "creating"
    assert addresses(name) == []
    record.status = "available"
    assert addresses(name) == [POSTGRES]


def test_a_deleted_database_has_no_address_and_nobody_else_is_asked(aws: Aws) -> None:
    name = database(aws)
    aws.rds.delete_db_instance(DBInstanceIdentifier="prod", SkipFinalSnapshot=True)
    assert addresses(name) == []


def test_a_load_balancer_has_the_addresses_of_its_targets_that_run(aws: Aws) -> None:
    (first, one), (second, other) = aws.instance(), aws.instance()
    name = aws.load_balancer(first, second)
    assert addresses(name.lower()) == sorted([one, other])
    aws.ec2.terminate_instances(InstanceIds=[second])
    assert addresses(name.lower()) == [one]


def test_a_load_balancer_without_targets_has_no_address(aws: Aws) -> None:
    aws.instance()
    assert addresses(aws.load_balancer().lower()) == []


def test_an_alias_has_the_addresses_of_what_it_names(aws: Aws) -> None:
    target, address = aws.instance()
    alias = {"DNSName": aws.load_balancer(target), "HostedZoneId": "Z1", "EvaluateTargetHealth": False}
    aws.record("airflow.example.internal", AliasTarget=alias)
    assert addresses("airflow.example.internal") == [address]


def test_a_record_has_its_values(aws: Aws) -> None:
    aws.record("host.example.internal", TTL=60, ResourceRecords=[{"Value": "10.20.0.9"}])
    assert addresses("host.example.internal") == [IPv4Address("10.20.0.9")]


def test_a_hosted_zone_answers_for_all_of_its_names_and_for_no_other(aws: Aws) -> None:
    aws.record("host.example.internal", TTL=60, ResourceRecords=[{"Value": "10.20.0.9"}])
    assert addresses("nothing.example.internal") == []
    assert addresses("an-example.internal") is None


def test_a_file_system_has_no_server(aws: Aws) -> None:
    assert aws.vpc
    assert addresses(f"fs-0123456789abcdef0.efs.{REGION}.amazonaws.com") == []


def test_a_name_of_the_internet_is_not_answered_here(aws: Aws) -> None:
    assert aws.vpc
    assert addresses("deb.debian.org") is None
