"""Deploys the stacks as they are, in wiring.yml's order, to a local AWS of the tests' own."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from airkiln_deploy.stacks import OF_A_POOL, of_pool
from rehearsal.aws.services.cloudformation.clients import Clients, clients
from rehearsal.aws.services.cloudformation.template import Evaluator, parameters, parse

FOLDER = Path(__file__).parents[3] / "cloudformation"
REGION = "eu-west-1"
ACCOUNT = "123456789012"
TAGS = [{"Key": "airkiln:environment", "Value": "test"}]
DONE = ("_COMPLETE", "_FAILED")

Client: TypeAlias = Any
"""botocore makes its clients' types at run time."""
Parameters = dict[str, str]


def template(name: str) -> str:
    return (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


@cache
def body(name: str) -> dict[str, Any]:
    return parse(template(name))


@dataclass
class Environment:
    """An environment: what is chosen for it, and what has been deployed."""

    endpoint: str
    name: str
    choices: dict[str, Parameters]
    """Parameters by stack; those of ``""`` go to each stack that has them."""
    pools: dict[str, Parameters] = field(default_factory=lambda: {"default": {}})
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    stacks: dict[str, str] = field(default_factory=dict)
    """Template by the name of its stack, in the order of creation."""
    ids: dict[str, str] = field(default_factory=dict)
    """Of stacks that have been deleted."""

    @cached_property
    def clients(self) -> Clients:
        return clients(self.endpoint, REGION)

    @property
    def cloudformation(self) -> Client:
        return self.clients("cloudformation")

    def stack(self, name: str, pool: str = "") -> str:
        return f"airkiln-{self.name}-{of_pool(name, pool) if pool else name}"

    def parameters(self, name: str, **more: str) -> Parameters:
        """Every parameter that is fed by an output or chosen. Of a pool, `more` has the name."""
        wiring = yaml.safe_load((FOLDER / "wiring.yml").read_text(encoding="utf-8"))["stacks"]
        inputs = next(stack["inputs"] for stack in wiring if stack["name"] == name)
        values: Parameters = {"EnvironmentName": self.name} | self.choices.get("", {})
        for parameter, source in inputs.items():
            stack, output = source.split(".")
            stack = of_pool(stack, more.get("PoolName", "default")) if stack in OF_A_POOL else stack
            if output in self.outputs.get(stack, {}):
                values[parameter] = self.outputs[stack][output]
        values |= self.choices.get(name, {}) | more
        return {key: value for key, value in values.items() if key in body(name)["Parameters"]}

    def deploy(self, without: tuple[str, ...] = ()) -> None:
        """Every stack that this environment wants."""
        wiring = yaml.safe_load((FOLDER / "wiring.yml").read_text(encoding="utf-8"))["stacks"]
        for stack in wiring:
            name = stack["name"]
            if name in without:
                continue
            if name == "endpoints" and self.outputs["network"]["AwsAccess"] != "endpoints":
                continue
            if name == "public" and "PublicAccess" not in self.choices.get("", {}):
                continue
            if name == "queues" and self.choices.get("", {}).get("Broker") == "redis":
                continue
            if name in OF_A_POOL:
                for pool, chosen in self.pools.items():
                    self.create(self.stack(name, pool), name, self.parameters(name, PoolName=pool, **chosen))
                    self.outputs[of_pool(name, pool)] = self.outputs_of(self.stack(name, pool))
            else:
                self.create(self.stack(name), name, self.parameters(name))
                self.outputs[name] = self.outputs_of(self.stack(name))

    def create(self, stack: str, name: str, parameters: Parameters) -> None:
        self.cloudformation.create_stack(
            StackName=stack,
            TemplateBody=template(name),
            Parameters=listed(parameters),
            Capabilities=["CAPABILITY_IAM"],
            Tags=TAGS,
        )
        self.stacks[stack] = name
        assert self.settled(stack) == "CREATE_COMPLETE", self.failures(stack)

    def update(self, stack: str, changed: Parameters) -> str:
        """Change parameters of a stack, and nothing else; returns the status in which that ends."""
        present = {one["ParameterKey"] for one in self.describe(stack)["Parameters"]}
        kept = [{"ParameterKey": key, "UsePreviousValue": True} for key in present - set(changed)]
        self.cloudformation.update_stack(
            StackName=stack,
            UsePreviousTemplate=True,
            Parameters=kept + listed(changed),
            Capabilities=["CAPABILITY_IAM"],
        )
        return self.settled(stack)

    def describe(self, stack: str) -> dict[str, Any]:
        described: dict[str, Any] = self.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        return described

    def outputs_of(self, stack: str) -> dict[str, str]:
        return {one["OutputKey"]: one["OutputValue"] for one in self.describe(stack).get("Outputs", [])}

    def resources(self, stack: str) -> dict[str, dict[str, Any]]:
        summaries = self.cloudformation.list_stack_resources(StackName=stack)["StackResourceSummaries"]
        return {one["LogicalResourceId"]: one for one in summaries}

    def declared(self, stack: str) -> dict[str, dict[str, Any]]:
        """The resources that the template declares with the parameters of the stack, resolved."""
        return Declared(self, stack).resources()

    def id(self, stack: str, logical: str) -> str:
        return str(self.resources(stack)[logical]["PhysicalResourceId"])

    def settled(self, stack: str, *, signal: str = "SUCCESS") -> str:
        """The status in which a stack comes to rest; who waits for a signal gets it, as from an instance."""
        deadline = time.monotonic() + 120
        stack = self.describe(stack)["StackId"]
        while not (status := str(self.describe(stack)["StackStatus"])).endswith(DONE):
            assert time.monotonic() < deadline, f"{stack} is still {status}"
            for resource in self.resources(stack).values():
                kind = resource["ResourceType"]
                if resource["ResourceStatus"].endswith("_IN_PROGRESS") and kind in SIGNALLED:
                    for number in range(4):
                        self.signal(stack, resource["LogicalResourceId"], f"i-{number}", signal)
            time.sleep(0.1)
        return status

    def signal(self, stack: str, logical: str, instance: str, status: str) -> None:
        try:
            self.cloudformation.signal_resource(
                StackName=stack, LogicalResourceId=logical, UniqueId=instance, Status=status
            )
        except self.cloudformation.exceptions.ClientError as error:
            # It no longer waits, or a rollback has deleted it since.
            over = ("cannot be signaled", "does not exist for stack")
            assert any(words in str(error) for words in over), error  # noqa: PT017

    def events(self, stack: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self.cloudformation.describe_stack_events(StackName=stack)[
            "StackEvents"
        ]
        return events

    def failures(self, stack: str) -> list[str]:
        return [
            f"{event['LogicalResourceId']} {event['ResourceStatus']}: {event.get('ResourceStatusReason')}"
            for event in self.events(stack)
            if "FAILED" in event["ResourceStatus"] or "ROLLBACK_IN" in event["ResourceStatus"]
        ]


SIGNALLED = ("AWS::AutoScaling::AutoScalingGroup", "AWS::EC2::Instance")


class Declared(Evaluator):
    """A template with the parameters of its stack; ids are those that the stack names."""

    def __init__(self, environment: Environment, stack: str) -> None:
        described = environment.describe(stack)
        given = {one["ParameterKey"]: one["ParameterValue"] for one in described["Parameters"]}
        content = body(environment.stacks[stack])
        pseudo = {
            "AWS::Region": REGION,
            "AWS::AccountId": ACCOUNT,
            "AWS::Partition": "aws",
            "AWS::StackName": stack,
            "AWS::StackId": described["StackId"],
        }
        super().__init__(content, pseudo | parameters(content, given, lambda *_: True))
        self.found = environment.resources(stack)

    def reference(self, name: str) -> str:
        return str(self.found[name]["PhysicalResourceId"])

    def attribute(self, name: str, attribute: str) -> str:
        physical = self.reference(name)
        known = {
            "AWS::S3::Bucket": f"arn:aws:s3:::{physical}",
            "AWS::SQS::Queue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{physical.rpartition('/')[2]}",
        }
        kind = self.body["Resources"][name]["Type"]
        return known[kind] if attribute == "Arn" and kind in known else f"{{{{{physical}.{attribute}}}}}"

    def resources(self) -> dict[str, dict[str, Any]]:
        return {
            name: {"Type": one["Type"], "Properties": self.resolve(one.get("Properties", {}))}
            for name, one in self.body["Resources"].items()
            if self.exists(one)
        }


def listed(parameters: Parameters) -> list[dict[str, str]]:
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
