"""Reads a template and works out what it says for given parameters, as far as that needs no AWS.

`Template.deployed()` is the template as CloudFormation would create it: parameters filled in, conditions
decided, what they exclude left out. What only exists afterwards (a resource's id or ARN) becomes a name of
the right form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rehearsal.aws.services.cloudformation.template import Evaluator, Json, parse, refusals

FOLDER = Path(__file__).parents[3] / "cloudformation"
REGION = "eu-west-1"
ACCOUNT = "123456789012"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))

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


@cache
def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def _parse(path: Path) -> dict[str, Any]:
    return parse(_read(path))


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


class Deployment(Evaluator):
    """A template with parameters. Parameters left out have their default, or their sample."""

    def __init__(self, template: Template, given: Mapping[str, str]) -> None:
        unknown = set(given) - set(template.parameters)
        assert not unknown, f"{template.name} has no parameter {unknown}"
        self._template = template
        values: dict[str, Any] = {
            "AWS::Region": REGION,
            "AWS::AccountId": ACCOUNT,
            "AWS::Partition": "aws",
            "AWS::StackName": f"airkiln-test-{template.name}",
            "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/airkiln-test-{template.name}/0",
        }
        for name, parameter in template.parameters.items():
            value = str(given.get(name, parameter.get("Default", SAMPLES.get(name))))
            is_list = parameter["Type"].startswith("List<") or parameter["Type"] == "CommaDelimitedList"
            values[name] = value.split(",") if is_list else value
        super().__init__(template.body, values)

    def resources(self) -> dict[str, dict[str, Any]]:
        return {
            name: self.resolve({key: value for key, value in resource.items() if key != "Condition"})
            for name, resource in self._template.resources.items()
            if self.exists(resource)
        }

    def outputs(self) -> dict[str, Any]:
        return {
            name: self.resolve(output["Value"])
            for name, output in self._template.outputs.items()
            if self.exists(output)
        }

    def refusals(self) -> list[str]:
        return refusals(self)

    def reference(self, name: str) -> Json:
        kind = self._template.resources[name]["Type"]
        return self.attribute(name, "Arn") if kind in _REF_IS_ARN else self._called(name)

    def attribute(self, name: str, attribute: str) -> str:
        kind = self._template.resources[name]["Type"]
        if attribute == "Arn" and kind in _ARNS:
            return _ARNS[kind].format(name=self._called(name))
        return f"{name}.{attribute}"

    def _called(self, name: str) -> str:
        properties = self._template.resources[name].get("Properties", {})
        given = next((properties[key] for key in _NAME_PROPERTIES if key in properties), name)
        return str(self.resolve(given))


def every_template() -> list[Template]:
    return [Template(name) for name in NAMES]


_TARGETS = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/airkiln"
_CERTIFICATE = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/00000000-0000-0000-0000-000000000000"
SAMPLES: dict[str, str] = {
    "AccessBucketName": f"airkiln-test-access-{ACCOUNT}-{REGION}",
    "AgentPolicyArn": f"arn:aws:iam::{ACCOUNT}:policy/AgentPolicy",
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
    "InstancePolicyArn": f"arn:aws:iam::{ACCOUNT}:policy/InstancePolicy",
    "InstanceProfileName": "airkiln-test-Profile-ABC",
    "InstanceSecurityGroupId": "sg-0123456789abcde05",
    "InternalCertificateArn": _CERTIFICATE,
    "InternalHostName": "airflow.internal.example.com",
    "InternalLoadBalancerName": "app/airkiln-test-internal/0123456789abcdef",
    "InternalLoadBalancerSecurityGroupId": "sg-0123456789abcde06",
    "InternalTargetsArn": f"{_TARGETS}/0123456789abcdef",
    "InternalTargetsName": "targetgroup/airkiln/0123456789abcdef",
    "KeyArn": _ARNS["AWS::KMS::Key"],
    "LogBucketName": f"airkiln-test-logs-{ACCOUNT}-{REGION}",
    "PrivateSubnetIds": "subnet-0123456789abcde04,subnet-0123456789abcde05,subnet-0123456789abcde06",
    "SchedulerRoleName": "airkiln-test-SchedulerRole-ABC",
    "PublicCertificateArn": _CERTIFICATE,
    "PublicHostName": "airflow.example.com",
    "PublicLoadBalancerSecurityGroupId": "sg-0123456789abcde10",
    "PublicSubnetIds": "subnet-0123456789abcde07,subnet-0123456789abcde08",
    "SchedulerSecurityGroupId": "sg-0123456789abcde07",
    "SessionsLogGroupName": "/airkiln/test/sessions",
    "TaskFilesPolicyArn": f"arn:aws:iam::{ACCOUNT}:policy/TaskFiles",
    "TaskRoleArn": f"arn:aws:iam::{ACCOUNT}:role/TaskRole",
    "VpcId": "vpc-0123456789abcdef0",
    "WebserverSecurityGroupId": "sg-0123456789abcde08",
    "WorkerPolicyArns": f"arn:aws:iam::{ACCOUNT}:policy/Agent,arn:aws:iam::{ACCOUNT}:policy/Files",
    "WorkerSecurityGroupId": "sg-0123456789abcde09",
    "ZoneCount": "3",
    "Zones": f"{REGION}a,{REGION}b,{REGION}c",
}
"""A value for each parameter without a default; a name means the same in every template."""

EVERYTHING: dict[str, dict[str, str]] = {
    "security": {"Spot": "yes"},
    "edge": {"InternalHostedZoneId": "Z0123456789"},
    "public": {
        "PublicAccess": "oidc",
        "PublicHostedZoneId": "Z0123456789",
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
    "endpoints": {"Offload": "yes", "SecretsManager": "yes"},
    "firewall": {
        "AwsAccess": "internet",
        "PublicAccess": "oidc",
        "Broker": "redis",
        "UserCidr": "10.8.0.0/16",
    },
    "iam": {
        "SchedulerExtraPolicyArns": "arn:aws:iam::aws:policy/AmazonAthenaFullAccess",
        "WebserverExtraPolicyArns": "arn:aws:iam::aws:policy/SecretsManagerReadWrite",
    },
    "observability": {"AlarmEmail": "airflow@example.com"},
    "scheduler": {"ExtraSecurityGroupIds": "sg-0123456789abcde12"},
    "webserver": {
        "PublicTargetsArn": f"{_TARGETS}/fedcba9876543210",
        "VolumeInitializationRate": "200",
        "ExtraSecurityGroupIds": "sg-0123456789abcde12",
    },
    "workers": {
        "QueueArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:airkiln-test-default",
        "SecondInstanceType": "m6i.xlarge",
        "ThirdInstanceType": "m5.xlarge",
        "OnDemandPercent": "0",
        "ExtraPolicyArns": "arn:aws:iam::aws:policy/AmazonAthenaFullAccess",
        "ExtraSecurityGroupIds": "sg-0123456789abcde12",
    },
}
"""Parameters with which each template makes all that it can; one not named here does by its defaults."""
