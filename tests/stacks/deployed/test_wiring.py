"""What leads from one deployed stack into another, as the services have it: who reaches whom, and what boots.

What a single template says is proven in tests/stacks/static.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.stacks.deployed.environment import Environment

Reach = set[tuple[str, str, int]]

INSIDE: Reach = {
    ("worker", "internal-load-balancer", 443),
    ("internal-load-balancer", "webserver", 8080),
    ("webserver", "worker", 8793),
    ("webserver", "scheduler", 8794),
    ("webserver", "database", 5432),
    ("scheduler", "database", 5432),
    ("worker", "database", 5432),
    ("database-step", "database", 5432),
    ("scheduler", "file-system", 2049),
    ("worker", "file-system", 2049),
}
ENDPOINTS_REDIS_AND_DOOR: Reach = {
    ("public-load-balancer", "webserver", 8081),
    ("scheduler", "redis", 6379),
    ("worker", "redis", 6379),
    ("instance", "endpoints", 443),
    ("offload", "internal-load-balancer", 443),
}
FROM_OUTSIDE = {
    "least": set[tuple[str, str, int]](),
    "most": {
        ("10.8.0.0/16", "internal-load-balancer", 443),
        ("0.0.0.0/0", "public-load-balancer", 443),
        ("0.0.0.0/0", "public-load-balancer", 80),
    },
}
TO_OUTSIDE = {
    "least": {("instance", "0.0.0.0/0", 443)},
    "most": {("instance", "S3", 443), ("public-load-balancer", "0.0.0.0/0", 443)},
}


class Groups:
    """The security groups of an environment, by their names, with their rules as EC2 has them."""

    def __init__(self, environment: Environment) -> None:
        ec2 = environment.clients("ec2")
        vpc = environment.outputs["network"]["VpcId"]
        found = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"]
        prefix = f"airkiln-{environment.name}-"
        self.names = {
            group["GroupId"]: tag["Value"].removeprefix(prefix)
            for group in found
            for tag in group.get("Tags", [])
            if tag["Key"] == "Name"
        }
        self.rules = [rule for rule in _all(ec2) if rule["GroupId"] in self.names and not self._nothing(rule)]
        for rule in self.rules:
            assert rule["IpProtocol"] == "tcp", rule
            assert rule["FromPort"] == rule["ToPort"], rule

    def way(self, *, egress: bool) -> Reach:
        """One half of the ways: what senders may send, or what receivers take; sender, receiver, port."""
        ways = set()
        for rule in self.rules:
            if rule["IsEgress"] == egress:
                own, other = self.names[rule["GroupId"]], self._other(rule)
                ways.add((own, other, rule["FromPort"]) if egress else (other, own, rule["FromPort"]))
        return ways

    def _other(self, rule: dict[str, Any]) -> str:
        if "ReferencedGroupInfo" in rule:
            return str(self.names[rule["ReferencedGroupInfo"]["GroupId"]])
        return "S3" if "PrefixListId" in rule else str(rule["CidrIpv4"])

    def _nothing(self, rule: dict[str, Any]) -> bool:
        """The rule to the own loopback address, which takes the place of "everything to anywhere"."""
        return rule.get("CidrIpv4") == "127.0.0.1/32" and rule["IpProtocol"] == "-1" and rule["IsEgress"]


def _all(ec2: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - a client
    pages = ec2.get_paginator("describe_security_group_rules").paginate()
    return [rule for page in pages for rule in page["SecurityGroupRules"]]


def test_each_part_reaches_these_ports_and_no_others(environment: Environment) -> None:
    groups = Groups(environment)
    name = environment.name
    inside = INSIDE | (ENDPOINTS_REDIS_AND_DOOR if name == "most" else set())
    assert groups.way(egress=True) == inside | TO_OUTSIDE[name]
    assert groups.way(egress=False) == inside | FROM_OUTSIDE[name]


ROLES = {"webserver": "webserver", "scheduler": "scheduler", "worker": "worker-default"}


@pytest.mark.parametrize("role", ROLES)
def test_a_group_boots_its_role_from_the_image(environment: Environment, role: str) -> None:
    group = _group(environment, ROLES[role])
    tags = {tag["Key"]: tag["Value"] for tag in group["Tags"] if tag["PropagateAtLaunch"]}
    stack = f"airkiln-{environment.name}-{ROLES[role]}"
    assert tags["airkiln:role"] == role
    assert tags["airkiln:environment"] == environment.name
    assert tags["airkiln:signal"] == f"{stack}/Group"
    assert tags.get("airkiln:pool") == ("default" if role == "worker" else None)
    hooks = [hook["LifecycleHookName"] for hook in _hooks(environment, group)]
    assert hooks == (["airkiln-drain"] if role == "worker" else [])
    assert set(group["VPCZoneIdentifier"].split(",")) == _subnets(environment)
    data = _boots(environment, group)
    assert set(data["SecurityGroupIds"]) == {
        environment.outputs["firewall"][f"{role.capitalize()}SecurityGroupId"],
        environment.outputs["firewall"]["InstanceSecurityGroupId"],
    }


def test_the_database_step_is_one_instance_of_its_own_role(environment: Environment) -> None:
    stack = environment.stack("database-step")
    found = environment.clients("ec2").describe_instances(InstanceIds=[environment.id(stack, "Step")])
    instance = found["Reservations"][0]["Instances"][0]
    tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
    assert tags["airkiln:role"] == "database"
    assert tags["airkiln:signal"] == f"{stack}/Step"
    assert instance["SubnetId"] in _subnets(environment)
    assert instance["ImageId"] == environment.choices[""]["ImageId"]


@pytest.mark.parametrize("stack", ["webserver", "scheduler", "worker-default", "database-step"])
def test_what_every_launch_template_boots(environment: Environment, stack: str) -> None:
    name = f"airkiln-{environment.name}-{stack}"
    versions = environment.clients("ec2").describe_launch_template_versions(LaunchTemplateName=name)
    data = versions["LaunchTemplateVersions"][-1]["LaunchTemplateData"]
    assert data["ImageId"] == environment.choices[""]["ImageId"]
    assert data["MetadataOptions"] == {
        "HttpEndpoint": "enabled",
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 1,
        "InstanceMetadataTags": "enabled",
    }
    assert "KeyName" not in data
    assert "UserData" not in data
    volume = data["BlockDeviceMappings"][0]["Ebs"]
    assert (volume["Encrypted"], volume["VolumeType"]) == (True, "gp3")
    assert volume["KmsKeyId"] == environment.outputs["security"]["KeyArn"]
    assert volume.get("VolumeInitializationRate") == (200 if environment.name == "most" else None)
    profile = data["IamInstanceProfile"]["Name"]
    roles = environment.clients("iam").get_instance_profile(InstanceProfileName=profile)["InstanceProfile"][
        "Roles"
    ]
    policies = environment.clients("iam").list_role_policies(RoleName=roles[0]["RoleName"])["PolicyNames"]
    part = stack.partition("-")[0]
    assert part in policies


def test_the_web_servers_stand_behind_every_door_and_nobody_else_does(environment: Environment) -> None:
    doors = {environment.outputs["edge"]["InternalTargetsArn"]}
    if environment.name == "most":
        doors.add(environment.outputs["public"]["PublicTargetsArn"])
    assert set(_group(environment, "webserver")["TargetGroupARNs"]) == doors
    assert _group(environment, "webserver")["HealthCheckType"] == "ELB"
    for other in ("scheduler", "worker-default"):
        assert _group(environment, other)["TargetGroupARNs"] == []


def test_queues_hand_what_fails_to_their_dead_letters(least: Environment) -> None:
    sqs = least.clients("sqs")
    stack = least.stack("queues", "default")
    queue, dead = (
        sqs.get_queue_attributes(QueueUrl=least.id(stack, name), AttributeNames=["All"])["Attributes"]
        for name in ("Queue", "DeadLetters")
    )
    assert json.loads(queue["RedrivePolicy"])["deadLetterTargetArn"] == dead["QueueArn"]
    assert queue["VisibilityTimeout"] == "60"
    assert queue["KmsMasterKeyId"] == least.outputs["security"]["KeyArn"]


def _group(environment: Environment, name: str) -> dict[str, Any]:
    full = f"airkiln-{environment.name}-{name}"
    groups = environment.clients("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[full])
    found: dict[str, Any] = groups["AutoScalingGroups"][0]
    return found


def _hooks(environment: Environment, group: dict[str, Any]) -> list[dict[str, Any]]:
    name = group["AutoScalingGroupName"]
    hooks = environment.clients("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName=name)
    return list(hooks["LifecycleHooks"])


def _boots(environment: Environment, group: dict[str, Any]) -> dict[str, Any]:
    mixed = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {}).get("LaunchTemplateSpecification")
    chosen = group.get("LaunchTemplate") or mixed
    versions = environment.clients("ec2").describe_launch_template_versions(
        LaunchTemplateId=chosen["LaunchTemplateId"], Versions=[chosen["Version"]]
    )
    data: dict[str, Any] = versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    return data


def _subnets(environment: Environment) -> set[str]:
    return set(environment.outputs["network"]["PrivateSubnetIds"].split(","))
