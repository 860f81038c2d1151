"""What CloudFormation refuses before anything is made: parameters one by one, and together."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from tests.stacks.deployed.environment import FOLDER, Environment, Parameters, body, listed, template

NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


KINDS = ("AllowedPattern", "AllowedValues", "MinValue", "MaxValue")
"""What a template may ask of a parameter."""


def constrained() -> Iterator[tuple[str, str]]:
    """A parameter for each kind of constraint. Static tests try every pattern, and read every description."""
    for kind in KINDS:
        yield next(
            (name, parameter)
            for name in NAMES
            for parameter, definition in body(name)["Parameters"].items()
            if kind in definition and "ConstraintDescription" in definition
        )


@pytest.mark.parametrize(("name", "parameter"), list(constrained()), ids=KINDS)
def test_a_value_out_of_bounds_is_refused_with_the_constraint(
    most: Environment, name: str, parameter: str
) -> None:
    refused = _refused(most, name, {parameter: "-1 nonsense"})
    assert parameter in refused
    assert body(name)["Parameters"][parameter]["ConstraintDescription"] in refused


def test_a_wrong_combination_is_refused_with_its_sentence(most: Environment) -> None:
    # Static tests try every rule of every template.
    refused = _refused(most, "firewall", {"AwsAccess": "endpoints", "S3PrefixListId": ""})
    assert "no instance can reach S3" in refused


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
