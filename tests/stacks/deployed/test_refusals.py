"""What CloudFormation refuses before anything is made: parameters one by one, and together."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from tests.stacks.deployed.environment import FOLDER, Environment, Parameters, body, listed, template

NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def constrained() -> Iterator[tuple[str, str]]:
    for name in NAMES:
        for parameter, definition in body(name)["Parameters"].items():
            if "ConstraintDescription" in definition:
                yield name, parameter


@pytest.mark.parametrize(("name", "parameter"), list(constrained()))
def test_a_value_out_of_bounds_is_refused_with_the_constraint(
    most: Environment, name: str, parameter: str
) -> None:
    refused = _refused(most, name, {parameter: "-1 nonsense"})
    assert parameter in refused
    assert body(name)["Parameters"][parameter]["ConstraintDescription"] in refused


RULES: list[tuple[str, Parameters, str]] = [
    ("firewall", {"AwsAccess": "endpoints", "S3PrefixListId": ""}, "no instance can reach S3"),
    ("firewall", {"PublicAccess": "none", "PublicCidr": "10.0.0.0/8"}, "and PublicAccess is none"),
    ("data", {"Broker": "redis", "RedisNodeType": ""}, "With Broker redis, RedisNodeType is needed"),
    (
        "data",
        {"Broker": "redis", "RedisSecurityGroupId": ""},
        "deploy the firewall with the same Broker first",
    ),
    ("data", {"Broker": "sqs"}, "and Broker is sqs"),
    ("edge", {"PublicHostName": ""}, "needs PublicHostName"),
    ("edge", {"PublicCertificateArn": ""}, "needs PublicCertificateArn"),
    ("edge", {"PublicLoadBalancerSecurityGroupId": ""}, "needs its security group"),
    ("edge", {"PublicSubnetIds": ""}, "needs PublicSubnetIds"),
    ("edge", {"OidcIssuer": ""}, "OidcIssuer is needed"),
    ("edge", {"OidcAuthorizationEndpoint": ""}, "OidcAuthorizationEndpoint is needed"),
    ("edge", {"OidcTokenEndpoint": ""}, "OidcTokenEndpoint is needed"),
    ("edge", {"OidcUserInfoEndpoint": ""}, "OidcUserInfoEndpoint is needed"),
    ("edge", {"OidcClientId": ""}, "OidcClientId is needed"),
    ("edge", {"OidcClientSecretName": ""}, "OidcClientSecretName is needed"),
    ("workers", {"ThirdInstanceType": "m5.large"}, "SecondInstanceType is not"),
    ("workers", {"OnDemandPercent": "50"}, "a single type is often not available as Spot"),
    ("offload", {"CpuUnits": "512", "MemoryMiB": "8192"}, "Fargate gives 512"),
    ("offload", {"CpuUnits": "1024", "MemoryMiB": "16384"}, "Fargate gives 1024"),
    ("offload", {"CpuUnits": "2048", "MemoryMiB": "2048"}, "Fargate gives 2048"),
    ("offload", {"CpuUnits": "4096", "MemoryMiB": "2048"}, "Fargate gives 4096"),
]


@pytest.mark.parametrize(("name", "given", "sentence"), RULES)
def test_a_wrong_combination_is_refused_with_its_sentence(
    most: Environment, name: str, given: Parameters, sentence: str
) -> None:
    assert sentence in _refused(most, name, given)


def test_every_rule_is_tried() -> None:
    sentences = [
        assertion["AssertDescription"]
        for name in NAMES
        for rule in body(name).get("Rules", {}).values()
        for assertion in rule["Assertions"]
    ]
    tried = {next(text for text in sentences if sentence in text) for _, _, sentence in RULES}
    assert tried == set(sentences)


@pytest.mark.parametrize("name", NAMES)
def test_a_network_or_image_that_does_not_exist_is_refused(most: Environment, name: str) -> None:
    strange = {"VpcId": "vpc-0123456789abcdef0", "ImageId": "ami-0123456789abcdef0"}
    strange |= {
        "InstanceSecurityGroupId": "sg-0123456789abcdef0",
        "PrivateSubnetIds": "subnet-0123456789abcdef0",
    }
    for parameter in set(strange) & set(body(name)["Parameters"]):
        assert "does not exist" in _refused(most, name, {parameter: strange[parameter]})


def test_a_missing_and_an_unknown_parameter_are_named(most: Environment) -> None:
    assert "Parameters: [Colour] do not exist in the template" in _refused(most, "network", {"Colour": "red"})
    with pytest.raises(ClientError, match=r"Parameters: \[EnvironmentName, Zones\] must have values"):
        most.cloudformation.create_stack(StackName="refused", TemplateBody=template("network"))


def test_roles_need_the_capability(most: Environment) -> None:
    with pytest.raises(ClientError, match="InsufficientCapabilities"):
        most.cloudformation.create_stack(
            StackName="refused",
            TemplateBody=template("security"),
            Parameters=listed({"EnvironmentName": "refused"}),
        )


def _refused(environment: Environment, name: str, given: Parameters) -> str:
    """The error of a creation with these parameters, which leaves nothing behind."""
    parameters = environment.parameters(name, **given) | {"EnvironmentName": "refused"} | given
    with pytest.raises(ClientError) as caught:
        environment.cloudformation.create_stack(
            StackName="refused",
            TemplateBody=template(name),
            Parameters=listed(parameters),
            Capabilities=["CAPABILITY_IAM"],
        )
    error = caught.value.response["Error"]
    assert error["Code"] == "ValidationError"
    listing = environment.cloudformation.list_stacks()["StackSummaries"]
    assert "refused" not in {stack["StackName"] for stack in listing}
    return str(error["Message"])
