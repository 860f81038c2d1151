"""The stacks of an account and region. Requests are checked before anything is created."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from rehearsal.aws.services.cloudformation.calls import Provider
from rehearsal.aws.services.cloudformation.clients import Clients
from rehearsal.aws.services.cloudformation.models import Resolver, Stack, Wanted
from rehearsal.aws.services.cloudformation.operations import Operations
from rehearsal.aws.services.cloudformation.table import KINDS
from rehearsal.aws.services.cloudformation.template import (
    RefusedError,
    in_order,
    parameters,
    parse,
    refusals,
    text_of,
)

log = logging.getLogger(__name__)
ANSWER = 2.0
"""Seconds for which a request waits for the operation that it started, to save clients some polling."""
LARGEST = 51_200
"""Bytes of a template in a request (CloudFormation's quota for TemplateBody)."""
BUSY = "_IN_PROGRESS"
FINAL = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED")
"""States in which a stack can only be deleted."""
_REAL = {
    "AWS::EC2::VPC::Id": ("describe_vpcs", "VpcIds"),
    "AWS::EC2::Subnet::Id": ("describe_subnets", "SubnetIds"),
    "AWS::EC2::SecurityGroup::Id": ("describe_security_groups", "GroupIds"),
    "AWS::EC2::Image::Id": ("describe_images", "ImageIds"),
    "AWS::EC2::AvailabilityZone::Name": ("describe_availability_zones", "ZoneNames"),
}


class Engine:
    """The stacks of one account and region."""

    def __init__(self, account: str, region: str, clients: Clients) -> None:
        self.account, self.region, self.clients = account, region, clients
        self.operations = Operations(Provider(KINDS, clients))
        self.stacks: list[Stack] = []
        self.lock = threading.RLock()

    def find(self, name: str) -> Stack:
        """Return the stack that is not deleted and has this name, or any stack by its id.

        :raises RefusedError: there is none.
        """
        for stack in reversed(self.stacks):
            if stack.id == name or (stack.name == name and not stack.deleted):
                return stack
        raise RefusedError(f"Stack with id {name} does not exist")

    def living(self, name: str) -> Stack | None:
        """Return the stack that is not deleted and has this name, or None."""
        return next((one for one in self.stacks if one.name == name and not one.deleted), None)

    def new(self, name: str, wanted: Wanted) -> Stack:
        """Add a stack without resources.

        :raises RefusedError: it cannot be deployed.
        """
        stack_id = f"arn:aws:cloudformation:{self.region}:{self.account}:stack/{name}/{uuid.uuid4()}"
        pseudo = {
            "AWS::Region": self.region,
            "AWS::AccountId": self.account,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": name,
            "AWS::StackId": stack_id,
        }
        stack = Stack(name, stack_id, pseudo, wanted)
        self.check(stack, wanted)
        self.stacks.append(stack)
        return stack

    def wanted(self, request: dict[str, Any], stack: Stack | None) -> Wanted:
        """Return what a request wants a stack to become.

        :param stack: the present stack, for UsePreviousTemplate, UsePreviousValue and tags.
        :raises RefusedError: the template or a parameter is invalid.
        """
        text = (
            stack.wanted.text
            if stack and request.get("UsePreviousTemplate")
            else request.get("TemplateBody", "")
        )
        if not text and request.get("TemplateURL"):
            raise RefusedError("TemplateURL is not supported here; pass TemplateBody.")
        if len(text.encode()) > LARGEST:
            raise RefusedError(f"Member must have length less than or equal to {LARGEST}: templateBody")
        body = parse(text)
        given = {}
        for parameter in request.get("Parameters") or []:
            key = parameter["ParameterKey"]
            if parameter.get("UsePreviousValue"):
                if stack is None or key not in stack.wanted.given:
                    raise RefusedError(
                        f"Invalid input for parameter key {key}. Cannot specify usePreviousValue as true"
                    )
                given[key] = stack.wanted.given[key]
            else:
                given[key] = parameter.get("ParameterValue", "")
        values = parameters(body, given, self._real)
        texts = {name: text_of(value) for name, value in values.items()}
        tags = request.get("Tags")
        listed = (
            stack.wanted.tags if stack and tags is None else {tag["Key"]: tag["Value"] for tag in tags or []}
        )
        return Wanted(text, body, values, texts, listed, request.get("Capabilities") or [])

    def check(self, stack: Stack, wanted: Wanted) -> None:
        """Refuse what cannot be deployed.

        :raises RefusedError: a rule rejects the parameters, the template is inconsistent or contains an
        unknown
            type, or a capability is missing.
        """
        resolver = Resolver(stack, wanted, {})
        if sentences := refusals(resolver):
            raise RefusedError(f"Template rule assertion failed: {' '.join(sentences)}")
        kinds = {wanted.body["Resources"][name]["Type"] for name in in_order(wanted.body, resolver.values)}
        if unknown := sorted(kinds - set(KINDS)):
            raise RefusedError(f"Template format error: Unrecognized resource types: {unknown}")
        enough = {"CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"} & set(wanted.capabilities)
        if any(kind.startswith("AWS::IAM::") for kind in kinds) and not enough:
            message = "Requires capabilities : [CAPABILITY_IAM]"
            raise RefusedError("InsufficientCapabilitiesException", message)

    def start(self, stack: Stack, work: Callable[[], None]) -> None:
        """Run an operation in a thread; return when it has ended, or after ``ANSWER`` seconds."""

        def guarded() -> None:
            try:
                work()
            except Exception as error:
                log.exception("stack %s", stack.name)
                stack.event(stack.status.replace(BUSY, "_FAILED"), f"Internal failure: {error!r}")

        thread = threading.Thread(target=guarded, daemon=True, name=stack.name)
        thread.start()
        thread.join(ANSWER)

    def changeable(self, name: str) -> Stack:
        """Return the stack with this name.

        :raises RefusedError: there is none, or it cannot be updated now.
        """
        stack = self.find(name)
        if stack.status.endswith(BUSY) or stack.status in (*FINAL, "DELETE_COMPLETE"):
            raise RefusedError(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        return stack

    def differs(self, stack: Stack, wanted: Wanted) -> bool:
        """Return whether an update would change anything."""
        outputs = {name: one.get("Value") for name, one in wanted.body.get("Outputs", {}).items()}
        before = {name: one.get("Value") for name, one in stack.wanted.body.get("Outputs", {}).items()}
        changes = self.operations.plan(stack, wanted)
        return bool(changes) or outputs != before or wanted.tags != stack.wanted.tags

    def _real(self, kind: str, name: str) -> bool:
        if kind not in _REAL:
            return True
        method, argument = _REAL[kind]
        try:
            getattr(self.clients("ec2"), method)(**{argument: [name]})
        except ClientError:
            return False
        return True
