"""Who there is and what there is, as the templates make it: principals and resources with their policies.

Two environments of one account, `test` and `other`; `test` has two worker pools, `default` and `heavy`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tests.stacks.static.template import ACCOUNT, EVERYTHING, REGION, SAMPLES, Deployment, Template

Document = dict[str, Any]
Resources = dict[str, dict[str, Any]]

KEY = SAMPLES["KeyArn"]
OTHER_KEY = KEY.replace("key/00000000", "key/11111111")
POOLS = ("default", "heavy")
SERVICE_ROLE = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role"
EVERYTHING_ALLOWED: Document = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}
PLACES = {
    "logs": f"airkiln-test-logs-{ACCOUNT}-{REGION}",
    "releases": f"airkiln-test-releases-{ACCOUNT}-{REGION}",
    "access": f"airkiln-test-access-{ACCOUNT}-{REGION}",
    "other logs": f"airkiln-other-logs-{ACCOUNT}-{REGION}",
    "other releases": f"airkiln-other-releases-{ACCOUNT}-{REGION}",
    "account": ACCOUNT,
    "region": REGION,
    "key": KEY,
    "other key": OTHER_KEY,
}
"""Names for the cases, which write them in braces."""


@dataclass(frozen=True)
class Principal:
    """Somebody who calls AWS; policies by their names in World.policies."""

    arn: str
    policies: tuple[str, ...] = ()
    boundary: tuple[str, ...] = ()


@dataclass(frozen=True)
class World:
    """All policies by name, all principals, and which policy a resource or an endpoint has."""

    policies: dict[str, Document] = field(default_factory=dict)
    principals: dict[str, Principal] = field(default_factory=dict)
    of_resources: dict[str, str] = field(default_factory=dict)
    of_endpoints: dict[str, str] = field(default_factory=dict)
    """Which policy the endpoint of a service has, by the service as it stands in the endpoint's name."""

    def policy_of(self, arn: str) -> str | None:
        """The name of a resource's own policy; an object has its bucket's."""
        return self.of_resources.get(arn) or self.of_resources.get(arn.partition("/")[0])


def expanded(short: str) -> str:
    """An ARN from its short form: SERVICE:REST, GROUP by its name, and names in braces."""
    for name, place in PLACES.items():
        short = short.replace(f"{{{name}}}", place)
    if short == "*" or short.startswith("arn:"):
        return short
    service, _, rest = short.partition(":")
    if service == "group":
        uuid = "12345678-1234-1234-1234-123456789012"
        rest = f"autoScalingGroup:{uuid}:autoScalingGroupName/{rest}"
        return f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:{rest}"
    if service == "s3":
        return f"arn:aws:s3:::{rest}"
    return f"arn:aws:{service}:{'' if service == 'iam' else REGION}:{ACCOUNT}:{rest}"


def deployed(template: str, **given: str) -> Resources:
    return Template(template).deployed(**{**EVERYTHING.get(template, {}), **given})


def named(stack: str, resources: Resources) -> Resources:
    """The resources of a stack, with its roles' names as CloudFormation makes them of the stack's."""
    text = json.dumps(resources)
    for name, resource in resources.items():
        if resource["Type"] == "AWS::IAM::Role":
            role = f"arn:aws:iam::{ACCOUNT}:role"
            text = text.replace(f'"{role}/{name}"', f'"{role}/airkiln-test-{stack}-{name}"')
    found: Resources = json.loads(text)
    return found


def document(resources: Resources, name: str, key: str = "PolicyDocument") -> Document:
    found: Document = resources[name]["Properties"][key]
    return found


def _inline(template: str, resources: Resources, role: str) -> Iterator[tuple[str, Document]]:
    for policy in resources[role]["Properties"].get("Policies", []):
        yield f"{template}.{role}.{policy['PolicyName']}", policy["PolicyDocument"]


@cache
def world() -> World:
    """What the templates make, with everything that can be chosen."""
    made = World(policies={"administrator": EVERYTHING_ALLOWED})
    security = deployed("security")
    shared = Deployment(Template("security"), {}).outputs()
    given = {name: shared[name] for name in ("AgentPolicyArn", "InstancePolicyArn", "TaskFilesPolicyArn")}
    iam = named("iam", deployed("iam", **given))
    attached = {}
    for name, resource in security.items():
        if resource["Type"] == "AWS::IAM::ManagedPolicy":
            made.policies[f"security.{name}"] = document(security, name)
            attached[f"arn:aws:iam::{ACCOUNT}:policy/{name}"] = f"security.{name}"

    def role(name: str, template: str, resources: Resources, resource: str, *more: str) -> None:
        own = dict(_inline(template, resources, resource))
        made.policies.update(own)
        managed = resources[resource]["Properties"].get("ManagedPolicyArns", [])
        known = [attached[arn] for arn in managed if not arn.startswith("arn:aws:iam::aws:")]
        session = "i-0123456789abcdef0" if template != "offload" else "0" * 32
        made.principals[name] = Principal(
            f"arn:aws:sts::{ACCOUNT}:assumed-role/airkiln-test-{template}-{resource}/{session}",
            (*known, *own, *more),
        )
        trust = f"{template}.{resource}.trust"
        made.policies[trust] = document(resources, resource, "AssumeRolePolicyDocument")
        made.of_resources[f"arn:aws:iam::{ACCOUNT}:role/airkiln-test-{template}-{resource}"] = trust

    offload = deployed(
        "offload",
        TaskFilesPolicyArn=shared["TaskFilesPolicyArn"],
        SchedulerRoleName=Deployment(Template("iam"), given).outputs()["SchedulerRoleName"],
    )
    made.policies["offload.SchedulerMayOffload"] = document(offload, "SchedulerMayOffload")
    role("webserver", "iam", iam, "WebserverRole")
    role("webserver's tasks", "iam", iam, "WebserverTaskRole")
    role("scheduler", "iam", iam, "SchedulerRole")
    role("scheduler's tasks", "iam", iam, "SchedulerTaskRole", "offload.SchedulerMayOffload")
    role("database", "iam", iam, "DatabaseRole")
    role("builder", "iam", iam, "BuilderRole")
    for pool in POOLS:
        given = {name: shared[name] for name in ("WorkerPolicyArns", "TaskFilesPolicyArn")}
        called = "workers" if pool == "default" else f"workers-{pool}"
        queue_arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:airkiln-test-{pool}"
        stack = named(called, deployed("workers", PoolName=pool, **given | {"QueueArn": queue_arn}))
        worker = "worker" if pool == "default" else f"{pool} worker"
        role(worker, called, stack, "Role")
        role(f"{worker}'s tasks", called, stack, "TaskRole")
        guarded = f"{called.replace('workers', 'queues')}.QueuePolicy"
        made.policies[guarded] = document(deployed("queues", PoolName=pool), "QueuePolicy")
        for suffix in ("", "-dead"):
            made.of_resources[queue_arn + suffix] = guarded
    role("container", "offload", offload, "TaskRole")
    role("container's launcher", "offload", offload, "LaunchRole")
    role("database's monitor", "data", deployed("data"), "DatabaseMonitoringRole")
    _people(made)
    _services(made)
    _resource_policies(made, security)
    return made


def _people(made: World) -> None:
    operations = deployed("operations")
    for name, resource in {
        "operator": "OperatorPolicy",
        "environment's administrator": "AdministratorPolicy",
        "user of the UI": "UserInterfacePolicy",
    }.items():
        made.policies[f"operations.{resource}"] = document(operations, resource)
        arn = f"arn:aws:iam::{ACCOUNT}:user/{resource}"
        made.principals[name] = Principal(arn, (f"operations.{resource}",))
    made.principals["administrator"] = Principal(f"arn:aws:iam::{ACCOUNT}:user/admin", ("administrator",))
    made.principals["stranger"] = Principal("arn:aws:iam::210987654321:user/stranger", ("administrator",))
    made.principals["anybody"] = Principal("anonymous")


def _services(made: World) -> None:
    scaling = f"{SERVICE_ROLE}/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
    made.principals["Auto Scaling"] = Principal(scaling)
    made.principals["Spot"] = Principal(f"{SERVICE_ROLE}/spot.amazonaws.com/AWSServiceRoleForEC2Spot")
    for name, service in {
        "EC2": "ec2",
        "ECS": "ecs-tasks",
        "RDS monitoring": "monitoring.rds",
        "CloudWatch Logs": f"logs.{REGION}",
        "CloudWatch": "cloudwatch",
        "log delivery": "delivery.logs",
        "load balancing": "logdelivery.elasticloadbalancing",
        "S3 logging": "logging.s3",
        "Lambda": "lambda",
    }.items():
        made.principals[name] = Principal(f"{service}.amazonaws.com")


def _resource_policies(made: World, security: Resources) -> None:
    made.policies["security.Key"] = document(security, "Key", "KeyPolicy")
    made.of_resources[KEY] = "security.Key"
    other = deployed("security", EnvironmentName="other")
    made.policies["other.Key"] = document(other, "Key", "KeyPolicy")
    made.of_resources[OTHER_KEY] = "other.Key"
    for template in ("buckets", "network"):
        for name, resource in deployed(template).items():
            if resource["Type"] == "AWS::S3::BucketPolicy":
                made.policies[f"{template}.{name}"] = resource["Properties"]["PolicyDocument"]
                made.of_resources[f"arn:aws:s3:::{resource['Properties']['Bucket']}"] = f"{template}.{name}"
    for name, resource in deployed("endpoints").items():
        service = resource["Properties"]["ServiceName"].removeprefix(f"com.amazonaws.{REGION}.")
        made.policies[f"endpoints.{name}"] = resource["Properties"]["PolicyDocument"]
        made.of_endpoints[service] = f"endpoints.{name}"
    made.policies["data.FileSystem"] = document(deployed("data"), "FileSystem", "FileSystemPolicy")
    made.of_resources[expanded("elasticfilesystem:file-system/fs-0123456789abcdef0")] = "data.FileSystem"
    made.policies["observability.TopicPolicy"] = document(deployed("observability"), "TopicPolicy")
    made.of_resources[expanded("sns:airkiln-test-alarms")] = "observability.TopicPolicy"
