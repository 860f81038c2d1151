"""A stack with its resources, events, outputs and change sets."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rehearsal.aws.services.cloudformation.calls import Resource
from rehearsal.aws.services.cloudformation.template import Evaluator, Json, RefusedError

STACK = "AWS::CloudFormation::Stack"


def now() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Wanted:
    """What a request wants a stack to become: a template with parameters, tags and capabilities."""

    text: str
    body: Mapping[str, Any]
    parameters: Mapping[str, Any]
    given: Mapping[str, str]
    """The text of each parameter, given or by default."""
    tags: Mapping[str, str]
    capabilities: list[str] = field(default_factory=list)


@dataclass
class Deployed(Resource):
    """A resource of a stack, with its status and policies."""

    status: str = ""
    reason: str = ""
    changed: datetime = field(default_factory=now)
    deletion: str = "Delete"
    replacement: str = "Delete"
    """The UpdateReplacePolicy."""
    needs: set[str] = field(default_factory=set)
    signals: dict[str, str] = field(default_factory=dict)
    """Status of each signal by its unique id."""


@dataclass
class Stack:
    """One stack."""

    name: str
    id: str
    pseudo: dict[str, Any]
    wanted: Wanted
    status: str = "REVIEW_IN_PROGRESS"
    reason: str = ""
    created: datetime = field(default_factory=now)
    updated: datetime | None = None
    deleted: datetime | None = None
    resources: dict[str, Deployed] = field(default_factory=dict)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    change_sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    protected: bool = False
    cancelled: bool = False
    """Whether a deletion waits for this creation to end."""
    policy: str = ""
    token: str | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)

    def event(self, status: str, reason: str = "", resource: Deployed | None = None) -> None:
        """Set the status of the stack, or of one of its resources, and record it for DescribeStackEvents."""
        with self.changed:
            if resource is None:
                self.status, self.reason = status, reason
            else:
                resource.status, resource.reason, resource.changed = status, reason, now()
            entry = {
                "StackId": self.id,
                "StackName": self.name,
                "EventId": str(uuid.uuid4()),
                "LogicalResourceId": resource.logical if resource else self.name,
                "PhysicalResourceId": resource.id if resource else self.id,
                "ResourceType": resource.type if resource else STACK,
                "Timestamp": now(),
                "ResourceStatus": status,
                "ResourceStatusReason": reason,
                "ClientRequestToken": self.token,
            }
            self.events.insert(0, {name: value for name, value in entry.items() if value})
            self.changed.notify_all()


class Resolver(Evaluator):
    """Resolves a template with the ids and attributes of a stack's resources."""

    def __init__(self, stack: Stack, wanted: Wanted, resources: Mapping[str, Deployed]) -> None:
        super().__init__(wanted.body, {**stack.pseudo, **wanted.parameters})
        self.stack = stack
        self.resources = resources
        self.tags = wanted.tags
        self.new: set[str] = set()
        """Resources whose id and attributes are unknown before the update."""
        self.volatile: set[tuple[str, str]] = set()
        """Attributes that the update may change."""

    def reference(self, name: str) -> Json:
        """Return the physical id."""
        if name in self.new:
            return f"{{{{changed:{name}}}}}"
        if name not in self.resources:
            raise RefusedError(f"Template format error: Unresolved resource dependencies [{name}]")
        return self.resources[name].id

    def attribute(self, name: str, attribute: str) -> Json:
        """Return an attribute that was read from the service."""
        if name in self.new or (name, attribute) in self.volatile:
            return f"{{{{changed:{name}.{attribute}}}}}"
        value = self.resources[name].attributes.get(attribute) if name in self.resources else None
        if value is None:
            raise RefusedError(
                f"Template error: resource {name} does not support attribute type {attribute} in Fn::GetAtt"
            )
        return value
