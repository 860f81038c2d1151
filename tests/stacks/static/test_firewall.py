"""Who may talk to whom, port by port, worked out from the rules and compared with a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from tests.stacks.static.template import FOLDER, Template

ANYWHERE, S3, USERS = "anywhere", "S3", "users"

ALWAYS = {
    ("worker", "InternalLoadBalancer", 443),
    ("InternalLoadBalancer", "webserver", 8080),
    ("webserver", "worker", 8793),
    ("webserver", "scheduler", 8794),
    ("webserver", "Database", 5432),
    ("scheduler", "Database", 5432),
    ("worker", "Database", 5432),
    ("database-step", "Database", 5432),
    ("scheduler", "FileSystem", 2049),
    ("worker", "FileSystem", 2049),
}
INSTANCES = ("webserver", "scheduler", "worker", "database-step")
INTERNET = {(part, ANYWHERE, 443) for part in INSTANCES}
ENDPOINTS = {(part, to, 443) for part in INSTANCES for to in ("Endpoints", S3)}
REDIS = {("scheduler", "Redis", 6379), ("worker", "Redis", 6379)}
PUBLIC = {
    (ANYWHERE, "PublicLoadBalancer", 443),
    (ANYWHERE, "PublicLoadBalancer", 80),
    ("PublicLoadBalancer", "webserver", 8081),
}

CASES = [
    ({}, ALWAYS | INTERNET),
    ({"AwsAccess": "endpoints", "S3PrefixListId": "pl-6da54004"}, ALWAYS | ENDPOINTS),
    ({"Broker": "redis"}, ALWAYS | INTERNET | REDIS),
    ({"UserCidr": "10.8.0.0/16"}, ALWAYS | INTERNET | {(USERS, "InternalLoadBalancer", 443)}),
    ({"PublicAccess": "airflow"}, ALWAYS | INTERNET | PUBLIC),
    ({"PublicAccess": "oidc"}, ALWAYS | INTERNET | PUBLIC | {("PublicLoadBalancer", ANYWHERE, 443)}),
]

Rule = tuple[str, str, int]


def parts() -> dict[str, tuple[str, ...]]:
    """The groups of each part: an instance's by its launch template and the wiring, else its own."""
    wiring = yaml.safe_load((FOLDER / "wiring.yml").read_text(encoding="utf-8"))
    inputs = {stack["name"]: stack["inputs"] for stack in wiring["stacks"]}
    groups: dict[str, tuple[str, ...]] = {
        name.removesuffix("SecurityGroup"): (name,)
        for name, resource in Template("firewall").resources.items()
        if resource["Type"] == "AWS::EC2::SecurityGroup"
    }
    for stack, part in {
        "webserver": "webserver",
        "scheduler": "scheduler",
        "workers": "worker",
        "database-step": "database-step",
    }.items():
        ids = Template(stack).body["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"][
            "SecurityGroupIds"
        ]
        names = [item["Ref"] for item in (ids["Fn::If"][2] if "Fn::If" in ids else ids)]
        groups[part] = tuple(
            inputs[stack][name].removeprefix("firewall.").removesuffix("Id") for name in names
        )
    for name in ("Webserver", "Scheduler", "Worker", "DatabaseStep", "Instance"):
        del groups[name]
    return groups


def rules(resources: Mapping[str, Any], kind: str) -> set[Rule]:
    """(sender, receiver, port) of each egress or ingress rule, by group; a network is a word."""
    found = set()
    for resource in resources.values():
        if resource["Type"] != f"AWS::EC2::SecurityGroup{kind}":
            continue
        rule = resource["Properties"]
        assert rule["IpProtocol"] == "tcp"
        assert rule["FromPort"] == rule["ToPort"]
        other = (
            rule.get("DestinationSecurityGroupId")
            or rule.get("SourceSecurityGroupId")
            or {"0.0.0.0/0": ANYWHERE, "10.8.0.0/16": USERS}.get(rule.get("CidrIp"))
            or S3
        )
        pair = (rule["GroupId"], other) if kind == "Egress" else (other, rule["GroupId"])
        found.add((*pair, rule["FromPort"]))
    return found


def reachable(parameters: dict[str, str]) -> set[Rule]:
    """Whom each part reaches: its egress and the other's ingress agree, or the other is a network."""
    resources = Template("firewall").deployed(**parameters)
    egress, ingress = rules(resources, "Egress"), rules(resources, "Ingress")
    members: dict[str, set[str]] = {ANYWHERE: {ANYWHERE}, S3: {S3}, USERS: {USERS}}
    for part, groups in parts().items():
        for group in groups:
            members.setdefault(group, set()).add(part)
    open_ways = {rule for rule in egress if rule in ingress or rule[1] in (ANYWHERE, S3)}
    open_ways |= {rule for rule in ingress if rule[0] in (ANYWHERE, USERS)}
    return {
        (a, b, port)
        for sender, receiver, port in open_ways
        for a in members[sender]
        for b in members[receiver]
    }


@pytest.mark.parametrize(
    ("parameters", "expected"), CASES, ids=lambda value: ",".join(value) if isinstance(value, dict) else ""
)
def test_each_part_reaches_what_the_table_says_and_nothing_else(
    parameters: dict[str, str], expected: set[Rule]
) -> None:
    assert reachable(parameters) == expected


@pytest.mark.parametrize("parameters", [case[0] for case in CASES], ids=",".join)
def test_no_rule_waits_for_its_other_half(parameters: dict[str, str]) -> None:
    resources = Template("firewall").deployed(**parameters)
    words = {ANYWHERE, S3, USERS}
    between = [
        {rule for rule in rules(resources, kind) if not words & set(rule[:2])}
        for kind in ("Egress", "Ingress")
    ]
    assert between[0] == between[1]


def test_no_group_keeps_the_egress_to_anywhere_that_ec2_gives_it() -> None:
    for name in ("firewall", "offload"):
        for resource in Template(name).resources.values():
            if resource["Type"] == "AWS::EC2::SecurityGroup":
                (egress,) = resource["Properties"]["SecurityGroupEgress"]
                assert egress["CidrIp"] == "127.0.0.1/32"
                assert "SecurityGroupIngress" not in resource["Properties"]


def test_every_group_and_rule_says_why_in_signs_that_ec2_takes() -> None:
    for name in ("firewall", "offload"):
        for key, resource in Template(name).resources.items():
            if resource["Type"].startswith("AWS::EC2::SecurityGroup"):
                form = resource["Properties"]
                said = form.get("GroupDescription", form.get("Description", ""))
                assert re.fullmatch(r"[A-Za-z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}", said), key


def test_only_the_public_load_balancer_is_open_to_anywhere() -> None:
    resources = Template("firewall").deployed(
        AwsAccess="internet", PublicAccess="oidc", UserCidr="10.8.0.0/16"
    )
    open_ports = {(to, port) for sender, to, port in rules(resources, "Ingress") if sender == ANYWHERE}
    assert open_ports == {("PublicLoadBalancerSecurityGroup", 443), ("PublicLoadBalancerSecurityGroup", 80)}


def test_a_container_on_fargate_reaches_the_task_execution_api_and_nobody_reaches_it() -> None:
    resources = Template("offload").deployed()
    door = "sg-0123456789abcde06"
    assert (
        rules(resources, "Egress") == rules(resources, "Ingress") == {("ContainerSecurityGroup", door, 443)}
    )
