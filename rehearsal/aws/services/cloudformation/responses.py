"""Answers CloudFormation's requests, in the process that serves moto's other services.

Left out: stack sets, imports and exports, drift, nested change sets, stack policies (stored, not enforced),
notifications, roles, TemplateURL, and every quota except the size of a template.
"""

from __future__ import annotations

import threading
import uuid
from typing import Any

from moto.core.responses import ActionResult, BaseResponse, EmptyResult

from rehearsal.aws.services.cloudformation.backend import BUSY, Engine
from rehearsal.aws.services.cloudformation.clients import clients
from rehearsal.aws.services.cloudformation.models import Deployed, Stack, Wanted, now
from rehearsal.aws.services.cloudformation.table import KINDS
from rehearsal.aws.services.cloudformation.template import RefusedError, parse, text_of

UNCHANGED = (
    "The submitted information didn't contain changes. Submit different information to create a change set."
)


def invalid(message: str, code: str = "ValidationError") -> RefusedError:
    """Return the error of a refused request."""
    return RefusedError(code, message)


class CloudFormation(BaseResponse):
    """The operations of the API, as moto's server calls them: one method each."""

    engines: dict[tuple[str, str], Engine] = {}  # noqa: RUF012 - moto makes an object for each request
    endpoint = ""
    lock = threading.Lock()

    def __init__(self) -> None:
        super().__init__(service_name="cloudformation")
        self.automated_parameter_parsing = True

    @property
    def engine(self) -> Engine:
        """The stacks of the caller's account and region."""
        with self.lock:
            key = (self.current_account, self.region)
            if key not in self.engines:
                self.engines[key] = Engine(*key, clients(self.endpoint, self.region))
            return self.engines[key]

    @property
    def request_of(self) -> dict[str, Any]:
        """The parameters of the request."""
        return dict(self.params)

    def create_stack(self) -> ActionResult:
        """Create a stack."""
        request, engine = self.request_of, self.engine
        with engine.lock:
            if engine.living(request["StackName"]):
                raise invalid(f"Stack [{request['StackName']}] already exists", "AlreadyExistsException")
            stack = engine.new(request["StackName"], engine.wanted(request, None))
        stack.protected = bool(request.get("EnableTerminationProtection"))
        stack.policy = request.get("StackPolicyBody", "")
        stack.token = request.get("ClientRequestToken")
        failure = "DO_NOTHING" if request.get("DisableRollback") else request.get("OnFailure", "ROLLBACK")
        engine.start(stack, lambda: engine.operations.create(stack, failure))
        return ActionResult({"StackId": stack.id})

    def update_stack(self) -> ActionResult:
        """Update a stack."""
        request, engine = self.request_of, self.engine
        with engine.lock:
            stack = engine.changeable(request["StackName"])
            wanted = engine.wanted(request, stack)
            engine.check(stack, wanted)
            if not engine.differs(stack, wanted):
                raise invalid("No updates are to be performed.")
            stack.token = request.get("ClientRequestToken")
            stack.event("UPDATE_IN_PROGRESS", "User Initiated")
        engine.start(stack, lambda: engine.operations.update(stack, wanted))
        return ActionResult({"StackId": stack.id})

    def delete_stack(self) -> ActionResult:
        """Delete a stack. One that does not exist counts as deleted."""
        request, engine = self.request_of, self.engine
        stack = engine.living(request["StackName"].rpartition(":stack/")[2].partition("/")[0])
        if stack is None:
            return EmptyResult()
        if stack.protected:
            raise invalid(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
        stack.token = request.get("ClientRequestToken")

        def work() -> None:
            with stack.changed:
                stack.cancelled = True
                stack.changed.notify_all()
                stack.changed.wait_for(lambda: not stack.status.endswith(BUSY))
            engine.operations.delete(stack)

        engine.start(stack, work)
        return EmptyResult()

    def describe_stacks(self) -> ActionResult:
        """One stack, or all that have not been deleted."""
        name = self.request_of.get("StackName")
        stacks = [self.engine.find(name)] if name else [one for one in self.engine.stacks if not one.deleted]
        return ActionResult({"Stacks": [_described(stack) for stack in stacks]})

    def list_stacks(self) -> ActionResult:
        """All stacks, with those that have been deleted."""
        wanted = self.request_of.get("StackStatusFilter")
        summaries = [_described(one) for one in self.engine.stacks if not wanted or one.status in wanted]
        return ActionResult({"StackSummaries": summaries})

    def describe_stack_events(self) -> ActionResult:
        """Return the events of a stack, the newest first."""
        return ActionResult({"StackEvents": self._stack().events})

    def describe_stack_resources(self) -> ActionResult:
        """The resources of a stack."""
        logical = self.request_of.get("LogicalResourceId")
        resources = [one for one in self._resources() if logical in (None, one["LogicalResourceId"])]
        return ActionResult({"StackResources": resources})

    def describe_stack_resource(self) -> ActionResult:
        """One resource of a stack."""
        resource = self._resource(self.request_of["LogicalResourceId"])
        return ActionResult({"StackResourceDetail": _resource(self._stack(), resource)})

    def list_stack_resources(self) -> ActionResult:
        """The resources of a stack."""
        return ActionResult({"StackResourceSummaries": self._resources()})

    def get_template(self) -> ActionResult:
        """The template as it was given."""
        return ActionResult({"TemplateBody": self._stack().wanted.text, "StagesAvailable": ["Original"]})

    def get_template_summary(self) -> ActionResult:
        """Parameters and types of a template."""
        request = self.request_of
        text = request.get("TemplateBody") or self._stack().wanted.text
        body = parse(text)
        kinds = [resource["Type"] for resource in body["Resources"].values()]
        iam = any(kind.startswith("AWS::IAM::") for kind in kinds)
        return ActionResult(
            {
                "Parameters": [_parameter(name, one) for name, one in body.get("Parameters", {}).items()],
                "Description": body.get("Description", ""),
                "Capabilities": ["CAPABILITY_IAM"] if iam else [],
                "ResourceTypes": sorted(set(kinds)),
                "Version": body.get("AWSTemplateFormatVersion"),
            }
        )

    def validate_template(self) -> ActionResult:
        """Validate a template and return its parameters."""
        return self.get_template_summary()

    def create_change_set(self) -> ActionResult:
        """Compute the changes of an update or a creation."""
        request, engine = self.request_of, self.engine
        with engine.lock:
            name, creates = request["StackName"], request.get("ChangeSetType") == "CREATE"
            if creates and (living := engine.living(name)) and living.status != "REVIEW_IN_PROGRESS":
                raise invalid(f"Stack [{name}] already exists and cannot be created again with the changeSet")
            stack = engine.living(name) if creates else engine.changeable(name)
            wanted = engine.wanted(request, stack)
            if stack is None:
                stack = engine.new(name, wanted)
                stack.event("REVIEW_IN_PROGRESS", "User Initiated")
            engine.check(stack, wanted)
            if request["ChangeSetName"] in stack.change_sets:
                raise invalid(
                    f"ChangeSet {request['ChangeSetName']} already exists", "AlreadyExistsException"
                )
            changes = engine.operations.plan(stack, wanted)
            some = creates or engine.differs(stack, wanted)
            arn = stack.id.replace(":stack/", ":changeSet/").replace(stack.name, request["ChangeSetName"])
            stack.change_sets[request["ChangeSetName"]] = {
                "ChangeSetName": request["ChangeSetName"],
                "ChangeSetId": arn.rpartition("/")[0] + f"/{uuid.uuid4()}",
                "StackId": stack.id,
                "StackName": stack.name,
                "Description": request.get("Description", ""),
                "CreationTime": now(),
                "Parameters": _given(wanted),
                "Changes": changes,
                "Status": "CREATE_COMPLETE" if some else "FAILED",
                "ExecutionStatus": "AVAILABLE" if some else "UNAVAILABLE",
                "StatusReason": "" if some else UNCHANGED,
                "Capabilities": wanted.capabilities,
                "wanted": wanted,
            }
        return ActionResult(
            {"Id": stack.change_sets[request["ChangeSetName"]]["ChangeSetId"], "StackId": stack.id}
        )

    def describe_change_set(self) -> ActionResult:
        """A change set with its changes."""
        _, change_set = self._change_set()
        return ActionResult({name: item for name, item in change_set.items() if name != "wanted"})

    def list_change_sets(self) -> ActionResult:
        """The change sets of a stack."""
        sets = self._stack().change_sets.values()
        return ActionResult({"Summaries": [{k: v for k, v in one.items() if k != "wanted"} for one in sets]})

    def delete_change_set(self) -> ActionResult:
        """Delete a change set."""
        stack, change_set = self._change_set()
        del stack.change_sets[change_set["ChangeSetName"]]
        return EmptyResult()

    def execute_change_set(self) -> ActionResult:
        """Execute a change set."""
        engine = self.engine
        stack, change_set = self._change_set()
        if change_set["ExecutionStatus"] != "AVAILABLE":
            raise invalid(
                f"ChangeSet [{change_set['ChangeSetId']}] cannot be executed in its current execution status",
                "InvalidChangeSetStatus",
            )
        stack.change_sets.clear()
        wanted: Wanted = change_set["wanted"]
        if stack.status == "REVIEW_IN_PROGRESS":
            stack.wanted = wanted
            engine.start(stack, lambda: engine.operations.create(stack))
        else:
            stack.event("UPDATE_IN_PROGRESS", "User Initiated")
            engine.start(stack, lambda: engine.operations.update(stack, wanted))
        return EmptyResult()

    def signal_resource(self) -> ActionResult:
        """Record a signal of success or failure for a resource."""
        request, stack = self.request_of, self._stack()
        resource = self._resource(request["LogicalResourceId"])
        if not resource.status.endswith(BUSY):
            raise invalid(f"Resource {resource.logical} is in {resource.status} state and cannot be signaled")
        stack.event(
            resource.status,
            f"Received {request['Status']} signal with UniqueId {request['UniqueId']}",
            resource,
        )
        with stack.changed:
            resource.signals[request["UniqueId"]] = request["Status"]
            stack.changed.notify_all()
        return EmptyResult()

    def set_stack_policy(self) -> ActionResult:
        """Store a stack policy, which is not enforced here."""
        self._stack().policy = self.request_of.get("StackPolicyBody", "")
        return EmptyResult()

    def get_stack_policy(self) -> ActionResult:
        """The stack policy."""
        return ActionResult({"StackPolicyBody": self._stack().policy})

    def update_termination_protection(self) -> ActionResult:
        """Enable or disable termination protection."""
        stack = self._stack()
        stack.protected = bool(self.request_of["EnableTerminationProtection"])
        return ActionResult({"StackId": stack.id})

    def _stack(self) -> Stack:
        return self.engine.find(self.request_of["StackName"])

    def _change_set(self) -> tuple[Stack, dict[str, Any]]:
        request = self.request_of
        for stack in self.engine.stacks:
            if request.get("StackName") not in (None, stack.name, stack.id):
                continue
            for change_set in stack.change_sets.values():
                if request["ChangeSetName"] in (change_set["ChangeSetName"], change_set["ChangeSetId"]):
                    return stack, change_set
        raise invalid(f"ChangeSet [{request['ChangeSetName']}] does not exist", "ChangeSetNotFound")

    def _resource(self, logical: str) -> Deployed:
        stack = self._stack()
        if logical not in stack.resources:
            raise invalid(f"Resource {logical} does not exist for stack {stack.name}")
        return stack.resources[logical]

    def _resources(self) -> list[dict[str, Any]]:
        stack = self._stack()
        return [_resource(stack, resource) for resource in stack.resources.values()]


def _resource(stack: Stack, resource: Deployed) -> dict[str, Any]:
    recorded_only = KINDS[resource.type].create is None
    return {
        "StackId": stack.id,
        "StackName": stack.name,
        "LogicalResourceId": resource.logical,
        "PhysicalResourceId": resource.id,
        "ResourceType": resource.type,
        "Timestamp": resource.changed,
        "LastUpdatedTimestamp": resource.changed,
        "ResourceStatus": resource.status,
        "ResourceStatusReason": resource.reason,
        "Description": "recorded only: nothing was created" if recorded_only else "",
    }


def _described(stack: Stack) -> dict[str, Any]:
    return {
        "StackId": stack.id,
        "StackName": stack.name,
        "Description": stack.wanted.body.get("Description", ""),
        "Parameters": _given(stack.wanted),
        "CreationTime": stack.created,
        "LastUpdatedTime": stack.updated,
        "DeletionTime": stack.deleted,
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason,
        "Capabilities": stack.wanted.capabilities,
        "Outputs": list(stack.outputs.values()),
        "Tags": [{"Key": key, "Value": value} for key, value in stack.wanted.tags.items()],
        "EnableTerminationProtection": stack.protected,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
    }


def _given(wanted: Wanted) -> list[dict[str, str]]:
    hidden = {name for name, one in wanted.body.get("Parameters", {}).items() if one.get("NoEcho")}
    return [
        {"ParameterKey": name, "ParameterValue": "****" if name in hidden else text}
        for name, text in wanted.given.items()
    ]


def _parameter(name: str, definition: dict[str, Any]) -> dict[str, Any]:
    default = {"DefaultValue": text_of(definition["Default"])} if "Default" in definition else {}
    return default | {
        "ParameterKey": name,
        "ParameterType": definition["Type"],
        "Description": definition.get("Description", ""),
        "NoEcho": bool(definition.get("NoEcho")),
        "ParameterConstraints": {"AllowedValues": list(map(text_of, definition.get("AllowedValues", [])))},
    }
