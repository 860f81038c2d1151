"""What docs/deploying.md promises of a failed creation: nothing is left, and the next attempt succeeds.

The last resource of each stack fails, when all others have been made: the rollback must delete them all.
"""

from __future__ import annotations

import json

import pytest

from airkiln_deploy.stacks import OF_A_POOL
from tests.stacks.deployed.conftest import secrets
from tests.stacks.deployed.environment import Environment, Parameters, body, listed

STACKS = (
    *("network", "firewall", "security", "iam", "buckets", "data", "edge", "database-step"),
    *("webserver", "scheduler", "queues", "workers", "observability", "operations"),
)
PROTECTED = ("data", "edge")
UNPROTECTED = {"DeletionProtection": "false"}
"""What playbooks/tasks/deploy/apply.yml gives a stack that it creates; it turns protection on afterwards."""
OTHER = "protected"
FAILS = {
    "Type": "AWS::SNS::Subscription",
    "Properties": {"Protocol": "email", "Endpoint": "a@example.com", "TopicArn": {"Ref": "Nowhere"}},
}
NOWHERE = {"Type": "String", "Default": "arn:aws:sns:eu-west-1:123456789012:nowhere"}


def parameters(environment: Environment, name: str, **more: str) -> Parameters:
    pool = {"PoolName": "default"} if name in OF_A_POOL else {}
    given = environment.parameters(name, **pool, **more) | {"EnvironmentName": "failed"}
    return {key: value for key, value in given.items() if key in body(name)["Parameters"]}


def create(environment: Environment, name: str, *, fails: bool, **more: str) -> tuple[str, list[str]]:
    """Create a stack of another environment beside this one; returns how that ends, and what failed."""
    template = json.loads(json.dumps(body(name)))
    if fails:
        template["Parameters"]["Nowhere"] = NOWHERE
        template["Resources"]["Fails"] = FAILS | {"DependsOn": list(template["Resources"])}
    made = environment.cloudformation.create_stack(
        StackName=f"airkiln-failed-{name}",
        TemplateBody=json.dumps(template),
        Parameters=listed(parameters(environment, name, **more)),
        Capabilities=["CAPABILITY_IAM"],
    )
    status = environment.settled(made["StackId"])
    reasons = environment.failures(made["StackId"])
    return status, [line for line in reasons if not fails or "DELETE_FAILED" in line]


def delete(environment: Environment, name: str) -> None:
    stack = f"airkiln-failed-{name}"
    stack_id = environment.describe(stack)["StackId"]
    environment.cloudformation.delete_stack(StackName=stack)
    assert environment.settled(stack_id) == "DELETE_COMPLETE", environment.failures(stack_id)


@pytest.fixture(scope="module", autouse=True)
def _secrets(endpoint: str) -> None:
    for name in ("failed", OTHER):
        secrets(endpoint, name)


@pytest.mark.parametrize("name", STACKS)
def test_a_creation_that_fails_at_its_end_leaves_nothing_in_the_way(least: Environment, name: str) -> None:
    more = UNPROTECTED if name in PROTECTED else {}
    assert create(least, name, fails=True, **more) == ("ROLLBACK_COMPLETE", [])
    delete(least, name)
    assert create(least, name, fails=False, **more) == ("CREATE_COMPLETE", [])


@pytest.mark.parametrize("name", PROTECTED)
def test_what_is_protected_from_the_beginning_cannot_be_rolled_back(least: Environment, name: str) -> None:
    """As on AWS. It is why the playbook turns protection on after the creation."""
    given = parameters(least, name) | {"EnvironmentName": OTHER}
    template = json.loads(json.dumps(body(name)))
    template["Parameters"]["Nowhere"] = NOWHERE
    template["Resources"]["Fails"] = FAILS | {"DependsOn": list(template["Resources"])}
    made = least.cloudformation.create_stack(
        StackName=f"airkiln-{OTHER}-{name}",
        TemplateBody=json.dumps(template),
        Parameters=listed(given),
        Capabilities=["CAPABILITY_IAM"],
    )
    assert least.settled(made["StackId"]) == "ROLLBACK_FAILED"
