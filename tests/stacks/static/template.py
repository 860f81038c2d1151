"""Reads a template and works out what it says for given parameters, as far as that needs no AWS.

`Template.deployed()` is the template as CloudFormation would create it: parameters filled in, conditions
decided, what they exclude left out. What only exists afterwards (a resource's id or ARN) becomes a name of
the right form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[3] / "cloudformation"
REGION = "eu-west-1"
ACCOUNT = "123456789012"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))

Json = Any
"""Whatever a template may hold: text, number, list or mapping."""

_ABSENT = object()
"""What AWS::NoValue stands for: its place is left out."""

_ARNS = {
    "AWS::KMS::Key": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-0000-0000-000000000000",
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{{name}}",
    "AWS::IAM::ManagedPolicy": f"arn:aws:iam::{ACCOUNT}:policy/{{name}}",
    "AWS::SQS::Queue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{{name}}",
    "AWS::SNS::Topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:{{name}}",
    "AWS::S3::Bucket": "arn:aws:s3:::{name}",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{{name}}:*",
    "AWS::ECS::Cluster": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{{name}}",
}
_REF_IS_ARN = ("AWS::IAM::ManagedPolicy", "AWS::SNS::Topic")
_NAME_PROPERTIES = (
    "QueueName",
    "BucketName",
    "TopicName",
    "LogGroupName",
    "ClusterName",
    "DBInstanceIdentifier",
    "Name",
)


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms."""


def _short_form(loader: _Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    name = tag if tag in ("Ref", "Condition") else f"Fn::{tag}"
    if isinstance(node, yaml.ScalarNode):
        value: Json = loader.construct_scalar(node)
        if tag == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {name: value}


_Loader.add_multi_constructor("!", _short_form)


@cache
def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def _parse(path: Path) -> dict[str, Any]:
    content = yaml.load(_read(path), _Loader)
    assert isinstance(content, dict)
    return content


@dataclass(frozen=True)
class Template:
    """One file of cloudformation/."""

    name: str

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.yaml"

    @property
    def text(self) -> str:
        return _read(self.path)

    @property
    def body(self) -> dict[str, Any]:
        return _parse(self.path)

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        return dict(self.body["Parameters"])

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        return dict(self.body["Resources"])

    @property
    def outputs(self) -> dict[str, dict[str, Any]]:
        return dict(self.body.get("Outputs", {}))

    def deployed(self, **given: str) -> dict[str, dict[str, Any]]:
        """The resources that exist with these parameters."""
        return Deployment(self, given).resources()

    def refusals(self, **given: str) -> list[str]:
        """The sentences of the Rules that refuse these parameters."""
        return Deployment(self, given).refusals()


class Deployment:
    """A template with parameters. Parameters left out have their default, or their sample."""

    def __init__(self, template: Template, given: Mapping[str, str]) -> None:
        unknown = set(given) - set(template.parameters)
        assert not unknown, f"{template.name} has no parameter {unknown}"
        self._template = template
        self._values: dict[str, Any] = {
            "AWS::Region": REGION,
            "AWS::AccountId": ACCOUNT,
            "AWS::Partition": "aws",
            "AWS::StackName": f"airkiln-test-{template.name}",
            "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/airkiln-test-{template.name}/0",
            "AWS::NoValue": _ABSENT,
        }
        for name, parameter in template.parameters.items():
            value = str(given.get(name, parameter.get("Default", SAMPLES.get(name))))
            is_list = parameter["Type"].startswith("List<") or parameter["Type"] == "CommaDelimitedList"
            self._values[name] = value.split(",") if is_list else value

    def resources(self) -> dict[str, dict[str, Any]]:
        return {
            name: self.resolve({key: value for key, value in resource.items() if key != "Condition"})
            for name, resource in self._template.resources.items()
            if "Condition" not in resource or self.condition(resource["Condition"])
        }

    def outputs(self) -> dict[str, Any]:
        return {
            name: self.resolve(output["Value"])
            for name, output in self._template.outputs.items()
            if "Condition" not in output or self.condition(output["Condition"])
        }

    def refusals(self) -> list[str]:
        return [
            assertion["AssertDescription"]
            for rule in self._template.body.get("Rules", {}).values()
            if self.resolve(rule.get("RuleCondition", True))
            for assertion in rule["Assertions"]
            if not self.resolve(assertion["Assert"])
        ]

    def condition(self, name: str) -> bool:
        return bool(self.resolve(self._template.body["Conditions"][name]))

    def resolve(self, value: Json) -> Json:
        """The value with every intrinsic function worked out."""
        if isinstance(value, dict):
            if len(value) == 1:
                ((key, argument),) = value.items()
                function = self._functions.get(key)
                if function and not (key == "Condition" and isinstance(argument, dict)):
                    return function(argument)
            resolved = {key: self.resolve(item) for key, item in value.items()}
            return {key: item for key, item in resolved.items() if item is not _ABSENT}
        if isinstance(value, list):
            return [item for item in (self.resolve(each) for each in value) if item is not _ABSENT]
        return value

    @cached_property
    def _functions(self) -> dict[str, Callable[[Any], Any]]:
        many = self.resolve
        return {
            "Ref": self._ref,
            "Condition": self.condition,
            "Fn::GetAtt": lambda argument: self._attribute(argument[0], argument[1]),
            "Fn::Sub": self._sub,
            "Fn::If": lambda argument: many(argument[1] if self.condition(argument[0]) else argument[2]),
            "Fn::Join": lambda argument: str(argument[0]).join(map(str, many(argument[1]))),
            "Fn::Split": lambda argument: many(argument[1]).split(argument[0]),
            "Fn::Select": lambda argument: many(argument[1])[int(argument[0])],
            "Fn::Cidr": lambda argument: [f"10.20.{16 * i}.0/20" for i in range(int(argument[1]))],
            "Fn::Equals": lambda argument: str(many(argument[0])) == str(many(argument[1])),
            "Fn::Not": lambda argument: not many(argument[0]),
            "Fn::And": lambda argument: all(many(argument)),
            "Fn::Or": lambda argument: any(many(argument)),
            "Fn::Contains": lambda argument: str(many(argument[1])) in map(str, many(argument[0])),
        }

    def _ref(self, name: str) -> Json:
        if name in self._values:
            return self._values[name]
        kind = self._template.resources[name]["Type"]
        return self._attribute(name, "Arn") if kind in _REF_IS_ARN else self._called(name)

    def _attribute(self, name: str, attribute: str) -> str:
        kind = self._template.resources[name]["Type"]
        if attribute == "Arn" and kind in _ARNS:
            return _ARNS[kind].format(name=self._called(name))
        return f"{name}.{attribute}"

    def _called(self, name: str) -> str:
        properties = self._template.resources[name].get("Properties", {})
        given = next((properties[key] for key in _NAME_PROPERTIES if key in properties), name)
        return str(self.resolve(given))

    def _sub(self, argument: Json) -> str:
        text, own = (argument, {}) if isinstance(argument, str) else (argument[0], self.resolve(argument[1]))

        def fill(match: re.Match[str]) -> str:
            name = match.group(1)
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in own:
                return str(own[name])
            if "." in name:
                return self._attribute(*name.split(".", 1))
            return str(self._ref(name))

        return re.sub(r"\$\{([^}]+)\}", fill, text)


def every_template() -> list[Template]:
    return [Template(name) for name in NAMES]


_TARGETS = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/airkiln"
_CERTIFICATE = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/00000000-0000-0000-0000-000000000000"
SAMPLES: dict[str, str] = {
    "AccessBucketName": f"airkiln-test-access-{ACCOUNT}-{REGION}",
    "ContainerImage": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/airflow@sha256:" + "0" * 64,
    "DatabaseIdentifier": "airkiln-test",
    "DatabaseSecurityGroupId": "sg-0123456789abcde01",
    "DatabaseStepSecurityGroupId": "sg-0123456789abcde02",
    "DatabaseSubnetIds": "subnet-0123456789abcde01,subnet-0123456789abcde02,subnet-0123456789abcde03",
    "EndpointsSecurityGroupId": "sg-0123456789abcde03",
    "EnvironmentName": "test",
    "ExecutionApiUrl": "https://airflow.internal.example.com/execution/",
    "FileSystemSecurityGroupId": "sg-0123456789abcde04",
    "ImageId": "ami-0123456789abcdef0",
    "InstanceProfileName": "airkiln-test-Profile-ABC",
    "InstanceSecurityGroupId": "sg-0123456789abcde05",
    "InternalCertificateArn": _CERTIFICATE,
    "InternalHostName": "airflow.internal.example.com",
    "InternalLoadBalancerName": "app/airkiln-test-internal/0123456789abcdef",
    "InternalLoadBalancerSecurityGroupId": "sg-0123456789abcde06",
    "InternalTargetsArn": f"{_TARGETS}/0123456789abcdef",
    "InternalTargetsName": "targetgroup/airkiln/0123456789abcdef",
    "KeyArn": _ARNS["AWS::KMS::Key"],
    "LogBucketArn": f"arn:aws:s3:::airkiln-test-logs-{ACCOUNT}-{REGION}",
    "LogBucketName": f"airkiln-test-logs-{ACCOUNT}-{REGION}",
    "PrivateSubnetIds": "subnet-0123456789abcde04,subnet-0123456789abcde05,subnet-0123456789abcde06",
    "SchedulerRoleName": "airkiln-test-SchedulerRole-ABC",
    "SchedulerSecurityGroupId": "sg-0123456789abcde07",
    "SessionsLogGroupName": "/airkiln/test/sessions",
    "TaskFilesPolicyArn": f"arn:aws:iam::{ACCOUNT}:policy/TaskFiles",
    "VpcId": "vpc-0123456789abcdef0",
    "WebserverSecurityGroupId": "sg-0123456789abcde08",
    "WorkerPolicyArns": f"arn:aws:iam::{ACCOUNT}:policy/Agent,arn:aws:iam::{ACCOUNT}:policy/Files",
    "WorkerSecurityGroupId": "sg-0123456789abcde09",
    "ZoneCount": "3",
    "Zones": f"{REGION}a,{REGION}b,{REGION}c",
}
"""A value for each parameter without a default; a name means the same in every template."""

EVERYTHING: dict[str, dict[str, str]] = {
    "edge": {
        "PublicAccess": "oidc",
        "PublicSubnetIds": "subnet-0123456789abcde07,subnet-0123456789abcde08",
        "PublicLoadBalancerSecurityGroupId": "sg-0123456789abcde10",
        "PublicHostName": "airflow.example.com",
        "PublicCertificateArn": SAMPLES["InternalCertificateArn"],
        "PublicHostedZoneId": "Z0123456789",
        "InternalHostedZoneId": "Z0123456789",
        "OidcIssuer": "https://login.example.com",
        "OidcAuthorizationEndpoint": "https://login.example.com/authorize",
        "OidcTokenEndpoint": "https://login.example.com/token",
        "OidcUserInfoEndpoint": "https://login.example.com/userinfo",
        "OidcClientId": "airflow",
        "OidcClientSecretName": "airflow/oidc",
    },
    "data": {
        "Broker": "redis",
        "RedisNodeType": "cache.t4g.small",
        "RedisSecurityGroupId": "sg-0123456789abcde11",
    },
    "endpoints": {"Offload": "yes"},
    "firewall": {
        "AwsAccess": "internet",
        "PublicAccess": "oidc",
        "Broker": "redis",
        "UserCidr": "10.8.0.0/16",
    },
    "observability": {"AlarmEmail": "airflow@example.com", "FlowLogVpcId": SAMPLES["VpcId"]},
    "webserver": {"PublicTargetsArn": f"{_TARGETS}/fedcba9876543210", "VolumeInitializationRate": "200"},
    "workers": {
        "SecondInstanceType": "m6i.xlarge",
        "ThirdInstanceType": "m5.xlarge",
        "OnDemandPercent": "0",
        "ExtraPolicyArns": "arn:aws:iam::aws:policy/AmazonAthenaFullAccess",
        "ExtraSecurityGroupIds": "sg-0123456789abcde12",
    },
}
"""Parameters with which each template makes all that it can; one not named here does by its defaults."""
