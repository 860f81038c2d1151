"""Every parameter of every stack has a source, and every source comes before."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.stacks.static.template import EVERYTHING, FOLDER, NAMES, Deployment, Template

STACKS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "wiring.yml").read_text(encoding="utf-8"))["stacks"]
ORDER = [stack["name"] for stack in STACKS]
WIRES = [
    (stack["name"], parameter, *source.split("."))
    for stack in STACKS
    for parameter, source in stack["inputs"].items()
]

GIVEN = {
    "AlarmEmail", "Architecture", "BackupRetentionDays", "BootTimeout", "ContainerImage", "EnvironmentName",
    "ImageId", "InternalCertificateArn", "InternalHostName", "InternalHostedZoneId", "Offload", "PoolName",
    "PublicCertificateArn", "PublicHostName", "Rebalance", "S3PrefixListId", "Spot", "Zones",
}  # fmt: skip
"""What people or deploy.yml itself must give, or may give, though its type could be an output's."""

FOR_PEOPLE = {
    "buckets.ReleaseBucketName", "data.DatabaseHost", "data.DatabasePort", "data.FileSystemId",
    "data.RedisHost", "data.RedisPort", "database-step.InstanceId", "edge.InternalLoadBalancerDnsName",
    "edge.UiUrl", "public.UiUrl", "network.VpcCidr",
    "buckets.JournalLogGroupName", "public.PublicLoadBalancerDnsName", "observability.TopicArn",
    "offload.ClusterName", "offload.ContainerSecurityGroupIds", "offload.TaskDefinition",
    "buckets.CommandsLogGroupName", "operations.AdministratorPolicyArn", "operations.OperatorPolicyArn",
    "operations.SessionDocumentName", "operations.UserInterfaceDocumentName",
    "operations.UserInterfacePolicyArn",
    "scheduler.GroupName", "scheduler.LatestLaunchTemplateVersion", "scheduler.LaunchTemplateId",
    "iam.BuilderInstanceProfileName", "webserver.GroupName", "webserver.LatestLaunchTemplateVersion",
    "webserver.LaunchTemplateId", "workers.LatestLaunchTemplateVersion", "workers.LaunchTemplateId",
    "queues.QueueUrl",
}  # fmt: skip
"""Outputs that no stack takes: for Airflow's parameters, for releases and for people."""


def test_every_template_is_a_stack() -> None:
    assert sorted(ORDER) == NAMES


@pytest.mark.parametrize(("stack", "parameter", "source", "output"), WIRES)
def test_a_wire_leads_from_an_output_of_an_earlier_stack_to_a_parameter(
    stack: str, parameter: str, source: str, output: str
) -> None:
    assert parameter in Template(stack).parameters
    assert output in Template(source).outputs
    assert ORDER.index(source) < ORDER.index(stack)


@pytest.mark.parametrize(("stack", "parameter", "source", "output"), WIRES)
def test_a_wire_carries_what_its_parameter_takes(
    stack: str, parameter: str, source: str, output: str
) -> None:
    form = Template(stack).parameters[parameter]
    given = dict(EVERYTHING.get(source, {}))
    if output == "EndpointsSecurityGroupId":
        given |= {"AwsAccess": "endpoints", "S3PrefixListId": "pl-6da54004"}
    value = Deployment(Template(source), given).outputs()[output]
    known = {
        "AWS::EC2::SecurityGroup": "sg-01234567",
        "AWS::EC2::VPC": "vpc-01234567",
        "AWS::EC2::Subnet": "subnet-01234567",
    }
    resources = Template(source).resources
    parts = [
        known.get(resources[part]["Type"], part) if part in resources else part
        for part in str(value).split(",")
    ]
    kind = form["Type"]
    if kind.startswith(("AWS::", "List<AWS::")):
        prefix = {"VPC": "vpc-", "Subnet": "subnet-", "SecurityGroup": "sg-"}[kind.split("::")[2]]
        assert all(part.startswith(prefix) for part in parts)
    elif "AllowedValues" in form:
        assert str(value) in map(str, form["AllowedValues"])
    elif (
        not re.search(r"\.(LoadBalancerFullName|TargetGroupFullName)$", str(value))
        and "Targets" not in parameter
    ):
        assert [part for part in parts if not re.search(form["AllowedPattern"], part)] == []


@pytest.mark.parametrize(("stack", "parameter", "source", "output"), WIRES)
def test_an_output_that_may_be_missing_feeds_only_what_can_do_without(
    stack: str, parameter: str, source: str, output: str
) -> None:
    if "Condition" in Template(source).outputs[output]:
        can_do_without = "Default" in Template(stack).parameters[parameter]
        assert can_do_without or "only_if" in next(s for s in STACKS if s["name"] == stack)


def test_every_log_group_that_an_instance_writes_to_is_there_before_the_first_instance() -> None:
    launching = {"AWS::EC2::Instance", "AWS::AutoScaling::AutoScalingGroup"}
    types = {name: {one["Type"] for one in Template(name).resources.values()} for name in ORDER}
    first = min(ORDER.index(name) for name in ORDER if types[name] & launching)
    groups = {
        one["Properties"]["LogGroupName"]: name
        for name in ORDER
        for one in Template(name).deployed().values()
        if one["Type"] == "AWS::Logs::LogGroup"
    }
    for group in ("/airkiln/test/journal", "/airkiln/test/sessions", "/airkiln/test/commands"):
        assert ORDER.index(groups[group]) < first, group


@pytest.mark.parametrize("stack", ORDER)
def test_a_parameter_without_default_is_fed_or_given(stack: str) -> None:
    fed = {parameter for name, parameter, *_ in WIRES if name == stack}
    needed = {name for name, parameter in Template(stack).parameters.items() if "Default" not in parameter}
    assert needed - fed - GIVEN == set()


def test_a_parameter_named_like_an_output_is_fed_by_it() -> None:
    """A stack added later, or a parameter renamed, shows here."""
    outputs = {output for name in NAMES for output in Template(name).outputs}
    fed = {(stack, parameter) for stack, parameter, *_ in WIRES}
    loose = {
        (name, parameter)
        for name in NAMES
        for parameter in Template(name).parameters
        if parameter in outputs and (name, parameter) not in fed
    }
    assert loose == {("network", "VpcCidr"), ("network", "ZoneCount")}


def test_every_output_is_taken_or_known_to_be_for_people() -> None:
    taken = {f"{source}.{output}" for *_, source, output in WIRES}
    every = {f"{name}.{output}" for name in NAMES for output in Template(name).outputs}
    assert every - taken == FOR_PEOPLE


def test_the_choices_that_several_stacks_make_are_the_same_choices() -> None:
    for name in ("Broker", "PublicAccess", "AwsAccess", "UrlPrefix"):
        forms = [Template(stack).parameters[name] for stack in ORDER if name in Template(stack).parameters]
        choices = {
            str([form.get(key) for key in ("Default", "AllowedValues", "AllowedPattern")]) for form in forms
        }
        assert len(choices) == 1
