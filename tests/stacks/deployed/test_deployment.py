"""Every stack, deployed as it is in wiring.yml's order, with the least and with the most that it can have."""

from __future__ import annotations

from pathlib import Path

from tests.stacks.deployed.environment import Declared, Environment
from tests.stacks.deployed.inventory import STAND_INS, Inventory


def test_every_declared_resource_exists_in_its_service(environment: Environment) -> None:
    inventory = Inventory(environment.clients)
    missing = []
    for stack in environment.stacks:
        made = environment.resources(stack)
        for logical, resource in environment.declared(stack).items():
            physical = made.get(logical, {}).get("PhysicalResourceId")
            kind = resource["Type"]
            there = physical and (kind in STAND_INS or inventory.has(kind, physical, resource["Properties"]))
            if not there:
                missing.append(f"{stack} {logical} ({kind}, {physical})")
    assert missing == []


def test_nothing_else_is_in_the_stacks(environment: Environment) -> None:
    for stack in environment.stacks:
        assert set(environment.resources(stack)) == set(environment.declared(stack))


def test_every_output_resolves(environment: Environment) -> None:
    for stack in environment.stacks:
        declared = Declared(environment, stack)
        wanted = {name for name, one in declared.body.get("Outputs", {}).items() if declared.exists(one)}
        found = environment.outputs_of(stack)
        assert set(found) == wanted
        unresolved = {
            name: text for name, text in found.items() if not text or "{{" in text or "None" in text
        }
        assert unresolved == {}


def test_the_two_environments_make_every_type_and_every_resource(
    least: Environment, most: Environment
) -> None:
    made = {
        (environment.stacks[stack], logical)
        for environment in (least, most)
        for stack in environment.stacks
        for logical in environment.resources(stack)
    }
    declared = {
        (name, logical)
        for environment in (least, most)
        for stack, name in environment.stacks.items()
        for logical in Declared(environment, stack).body["Resources"]
    }
    # Three NAT gateways are a further choice, tried in test_updates.
    left = {logical for _, logical in declared - made}
    assert left == {"NatAddressB", "NatGatewayB", "NatAddressC", "NatGatewayC", "PrivateRouteC"}


def test_what_is_only_recorded_is_said_so(most: Environment) -> None:
    readme = Path("rehearsal/aws/services/cloudformation/README.md").read_text(encoding="utf-8")
    recorded = {
        resource["ResourceType"]
        for stack in most.stacks
        for resource in most.cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
        if resource.get("Description") == "recorded only: nothing was created"
    }
    assert recorded == STAND_INS
    assert all(f"`{kind}` | all of it" in readme for kind in recorded)


def test_no_secret_is_in_an_answer_of_cloudformation(environment: Environment) -> None:
    for stack in environment.stacks:
        answers = [environment.describe(stack), environment.events(stack), environment.resources(stack)]
        assert "secret-of-" not in str(answers)
        assert "of-the-provider" not in str(answers)


def test_the_secrets_reached_their_services(most: Environment) -> None:
    listeners = most.clients("elbv2").describe_listeners(
        ListenerArns=[most.id("airkiln-most-public", "PublicHttps")]
    )["Listeners"]
    login = listeners[0]["DefaultActions"][0]["AuthenticateOidcConfig"]
    assert login["ClientSecret"] == "of-the-provider"
