"""Creates, reads, updates and deletes resources by the table of types, through botocore's clients."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import jmespath
from botocore.exceptions import BotoCoreError, ClientError

from rehearsal.aws.services.cloudformation.arguments import fill, find, fit
from rehearsal.aws.services.cloudformation.clients import Clients
from rehearsal.aws.services.cloudformation.table import Call, Each, Kind
from rehearsal.aws.services.cloudformation.template import Json

GONE = re.compile(r"NotFound|NoSuch|NonExist|NotExist|Unknown|InvalidDocument|^404$|^ValidationError$")
"""Error codes with which services answer for a resource that does not exist."""
LIMIT = 600.0
"""Seconds within which a created resource must be ready, and a deleted one gone."""
_DYNAMIC = re.compile(r"\{\{resolve:(ssm|ssm-secure|secretsmanager):([^}]+)\}\}")
SECURE = {
    ("AWS::RDS::DBInstance", "MasterUserPassword"),
    ("AWS::ElastiCache::ReplicationGroup", "AuthToken"),
}
"""Properties of Airkiln's templates that accept ssm-secure references."""


class FailedError(Exception):
    """A resource could not be created, updated or deleted; the text is the reason in the stack's events."""

    @property
    def gone(self) -> bool:
        """Whether the service answered that the resource does not exist."""
        cause = self.__cause__
        return isinstance(cause, ClientError) and bool(GONE.search(cause.response["Error"]["Code"]))


@contextmanager
def suppress_gone() -> Iterator[None]:
    """Ignore that what is to be removed does not exist."""
    try:
        yield
    except FailedError as error:
        if not error.gone:
            raise


@dataclass
class Resource:
    """One resource of a stack."""

    logical: str
    type: str
    properties: dict[str, Any]
    """Resolved, except dynamic references to secrets."""
    name: str = ""
    id: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)

    def context(self, **more: Json) -> dict[str, Any]:
        """Return what JMESPath expressions of arguments search."""
        return self.properties | {"id": self.id, "name": self.name, "attributes": self.attributes} | more


def generated_name(stack: str, logical: str, kind: Kind) -> str:
    """Return a name as CloudFormation generates it: stack, logical id, twelve random characters."""
    longest = int(kind.name.partition(":")[2] or 255)
    name = f"{stack}-{logical}-{secrets.token_hex(6).upper()}"
    lower = kind.name.partition(":")[0] in (
        "DBParameterGroupName",
        "DBSubnetGroupName",
        "CacheSubnetGroupName",
    )
    if longest < len(name):
        name = f"{stack[: longest - 21]}-{logical[:6]}-{secrets.token_hex(6).upper()}"
    return name.lower() if lower else name


class Provider:
    """Creates, reads, updates and deletes resources by a table of types."""

    def __init__(self, kinds: Mapping[str, Kind], clients: Clients) -> None:
        self.kinds = kinds
        self.clients = clients

    def create(self, stack: str, resource: Resource) -> None:
        """Create a resource. Its id is set as soon as there is something to delete.

        :raises FailedError: a call was refused, or the resource did not become ready.
        """
        kind = self.kinds[resource.type]
        self.check(resource)
        own = resource.properties.get(kind.name.partition(":")[0])
        resource.name = own or generated_name(stack, resource.logical, kind)
        if kind.create is None:
            resource.id = resource.name
        else:
            answer = self.perform(kind.create, resource, {})
            found = jmespath.search(kind.id, resource.context(answer=answer or {}))
            if not found:
                problem = answer.get("Unsuccessful") or "it answers without an id"
                raise FailedError(f"{kind.create.operation} made nothing: {problem}")
            resource.id = str(found)
        self._wait(resource, kind)
        for step in kind.then:
            if isinstance(step, Each):
                for item in step.items(resource.properties) if step.initial else []:
                    self.perform(step.add, resource, {"item": item})
            elif self._covers(step, resource.properties):
                self.perform(step, resource, {})
        self.refresh(resource)

    def read(self, resource: Resource) -> Json:
        """Return the resource as its service describes it, or None; {} for a type that is only recorded."""
        kind = self.kinds[resource.type]
        if kind.read is None:
            return {}
        try:
            answer = self.perform(kind.read, resource, {})
        except FailedError as error:
            if error.gone:
                return None
            raise
        return jmespath.search(kind.found % resource.context(), answer)

    def refresh(self, resource: Resource) -> None:
        """Read the attributes of Fn::GetAtt again."""
        found = self.read(resource) or {}
        paths = self.kinds[resource.type].attributes
        known = resource.context(found=found)
        resource.attributes = {name: find(path, known) for name, path in paths.items()}

    def update(self, resource: Resource, old: Mapping[str, Any]) -> None:
        """Change the resource from its old properties to its present ones.

        :raises FailedError: a call was refused, or the table cannot change a property.
        """
        kind = self.kinds[resource.type]
        self.check(resource)
        new = resource.properties
        changed = {name for name in {*old, *new} if old.get(name) != new.get(name)}
        done = set(kind.recorded.split())
        answer: Json = {}
        for name in changed & set(kind.unset) - set(new):
            self.perform(kind.unset[name], replace(resource, properties=dict(old)), {})
            done.add(name)
        for step in (*kind.change, *kind.then):
            if isinstance(step, Each):
                was, wanted = step.items(old), step.items(new)
                for item in (item for item in was if item not in wanted):
                    if step.remove is None and not any(item["Key"] == each["Key"] for each in wanted):
                        raise FailedError(
                            f"The emulated AWS cannot remove {item} from {step.property} of {resource.type}."
                        )
                    if step.remove is not None:
                        with suppress_gone():
                            self.perform(step.remove, resource, {"item": item})
                again = step.again in changed
                done |= {step.again}
                for item in (item for item in wanted if again or item not in was):
                    self.perform(step.add, resource, {"item": item})
                done.add(step.property)
            elif covered := self._covers(step, new) & changed:
                only = covered if kind.partly and step.every else None
                answer = self.perform(step, resource, {"answer": answer}, only)
                done |= covered
        if kind.create is not None and (left := changed - done):
            raise FailedError(
                f"This CloudFormation cannot change {', '.join(sorted(left))} of {resource.type}."
            )
        self._wait(resource, kind)
        self.refresh(resource)

    def delete(self, resource: Resource, snapshot: str = "") -> None:
        """Delete the resource and wait until it is gone.

        :param snapshot: name of the snapshot to keep; empty for none.
        :raises FailedError: a call was refused, or the resource still exists after ``LIMIT`` seconds.
        """
        kind = self.kinds[resource.type]
        if not resource.id or kind.delete is None or self.read(resource) is None:
            return
        for step in kind.then:
            if isinstance(step, Each) and step.undone and step.remove is not None:
                for item in step.items(resource.properties):
                    with suppress_gone():
                        self.perform(step.remove, resource, {"item": item})
        self.perform(
            kind.snapshot if snapshot and kind.snapshot else kind.delete, resource, {"snapshot": snapshot}
        )
        deadline = time.monotonic() + LIMIT
        while self.read(resource) is not None:
            if time.monotonic() > deadline:
                raise FailedError(f"{resource.type} {resource.id} is still there after {LIMIT:.0f} s.")
            time.sleep(0.2)

    def check(self, resource: Resource) -> None:
        """Refuse a property that no call of the row passes on, rather than ignore it."""
        kind = self.kinds[resource.type]
        if kind.create is None:
            return
        known = set(kind.recorded.split()) | {kind.name.partition(":")[0]}
        for step in (kind.create, *kind.change, *kind.then):
            known |= (
                {step.property, step.again}
                if isinstance(step, Each)
                else self._covers(step, resource.properties)
            )
        if left := set(resource.properties) - known:
            raise FailedError(f"This CloudFormation knows no {', '.join(sorted(left))} of {resource.type}.")

    def perform(
        self, one: Call, resource: Resource, more: Mapping[str, Any], only: set[str] | None = None
    ) -> Json:
        """Send a call and return the answer; None if its ``when`` does not hold.

        :raises FailedError: the service refused it, or its model does not know an argument.
        """
        service, method = one.operation.split(".")
        client = self.clients(service)
        model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
        region = client.meta.region_name
        context = resource.context(elsewhere=None if region == "us-east-1" else region, **more)
        if one.when and not jmespath.search(one.when, context):
            return None
        arguments = fill(one.arguments, context) or {}
        if one.every:
            names = self._covers(one, resource.properties) - one.names
            passed = {name: resource.properties[name] for name in names if only is None or name in only}
            arguments = passed | arguments
        arguments = self._secret(resource.type, arguments)
        try:
            fitted = fit(model.input_shape, arguments, one.renamed) if arguments else {}
            return getattr(client, method)(**fitted)
        except ClientError as error:
            problem = error.response["Error"]
            raise FailedError(
                f"{problem.get('Message') or problem['Code']} (Service: {service}, Operation: {model.name}, "
                f"Code: {problem['Code']})"
            ) from error
        except (BotoCoreError, ValueError) as error:
            raise FailedError(f"Properties validation failed for {resource.logical}: {error}") from error

    def _covers(self, one: Call, properties: Mapping[str, Any]) -> set[str]:
        names = one.names & set(properties)
        if one.every:
            service, method = one.operation.split(".")
            client = self.clients(service)
            shape = client.meta.service_model.operation_model(
                client.meta.method_to_api_mapping[method]
            ).input_shape
            members = {name.lower() for name in shape.members}
            names |= {
                name
                for name in properties
                if one.renamed.get(name, name).lower() in members and name not in one.without
            }
        return names

    def _wait(self, resource: Resource, kind: Kind) -> None:
        self.refresh(resource)
        deadline = time.monotonic() + LIMIT
        while kind.ready and not jmespath.search(kind.ready, self.read(resource) or {}):
            if time.monotonic() > deadline:
                raise FailedError(f"{resource.type} {resource.id} is not ready after {LIMIT:.0f} s.")
            time.sleep(0.2)

    def _secret(self, kind: str, value: Json, place: str = "") -> Json:
        """Return the value with its dynamic references resolved, for this call alone."""
        if isinstance(value, Mapping):
            return {name: self._secret(kind, item, place or name) for name, item in value.items()}
        if isinstance(value, list):
            return [self._secret(kind, item, place) for item in value]
        if not isinstance(value, str):
            return value

        def resolve(match: re.Match[str]) -> str:
            service, reference = match.groups()
            if service == "ssm-secure" and (kind, place) not in SECURE:
                raise FailedError(f"ssm-secure is not supported in {kind} {place}.")
            return self._referred(service, reference)

        return _DYNAMIC.sub(resolve, value)

    def _referred(self, service: str, reference: str) -> str:
        try:
            if service != "secretsmanager":
                found = self.clients("ssm").get_parameter(
                    Name=reference, WithDecryption=service == "ssm-secure"
                )
                return str(found["Parameter"]["Value"])
            secret, _, key = reference.partition(":SecretString:")
            text = self.clients("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]
            return str(json.loads(text)[key] if key else text)
        except (ClientError, KeyError, ValueError) as error:
            raise FailedError(
                f"Could not resolve the dynamic reference {{{{resolve:{service}:{reference}}}}}: {error}"
            ) from error
