"""Makes, finds, changes and deletes resources by the table, through botocore's clients.

botocore's model of an operation says the case of names, and whether a value is text, number or JSON.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import jmespath
from botocore.exceptions import BotoCoreError, ClientError
from botocore.model import ListShape, MapShape, Shape, StructureShape

from rehearsal.aws.services.cloudformation.table import Call, Each, Kind
from rehearsal.aws.services.cloudformation.template import Json, text_of

GONE = re.compile(r"NotFound|NoSuch|NonExist|NotExist|Unknown|InvalidDocument|^404$|^ValidationError$")
"""Codes by which services say that something is not there."""
LIMIT = 600.0
"""Seconds in which something that was made must be ready, and something deleted gone."""
_DYNAMIC = re.compile(r"\{\{resolve:(ssm|ssm-secure|secretsmanager):([^}]+)\}\}")
SECURE = {
    ("AWS::RDS::DBInstance", "MasterUserPassword"),
    ("AWS::ElastiCache::ReplicationGroup", "AuthToken"),
}
"""Properties of these templates in which CloudFormation allows ssm-secure."""

Clients = Callable[[str], Any]
"""Gives the botocore client of a service."""


class FailedError(Exception):
    """A resource could not be made, changed or deleted; the text is the reason in the stack's events."""

    @property
    def gone(self) -> bool:
        """Whether a service said that what it was asked for does not exist."""
        cause = self.__cause__
        return isinstance(cause, ClientError) and bool(GONE.search(cause.response["Error"]["Code"]))


@contextmanager
def suppress_gone() -> Iterator[None]:
    """Let pass that something which is to be taken away is not there."""
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
    """Resolved, but for references to secrets."""
    name: str = ""
    id: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)

    def context(self, **more: Json) -> dict[str, Any]:
        """What an argument's JMESPath searches."""
        return self.properties | {"id": self.id, "name": self.name, "attributes": self.attributes} | more


def generated_name(stack: str, logical: str, kind: Kind) -> str:
    """A name as CloudFormation gives it: the stack's, the logical id, and twelve random signs."""
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
    """Makes, finds, changes and deletes resources by a table."""

    def __init__(self, kinds: Mapping[str, Kind], clients: Clients) -> None:
        self.kinds = kinds
        self.clients = clients

    def create(self, stack: str, resource: Resource) -> None:
        """Make it; ``resource`` knows its id as soon as there is something to delete again.

        Raises:
            FailedError: a call was refused, or it did not become ready.
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
        """The resource as its service describes it; None where there is none. A stand-in is always there."""
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
        """Read the attributes again."""
        found = self.read(resource) or {}
        paths = self.kinds[resource.type].attributes
        known = resource.context(found=found)
        resource.attributes = {name: _attribute(path, known) for name, path in paths.items()}

    def update(self, resource: Resource, old: Mapping[str, Any]) -> None:
        """Bring the resource from its old properties to those it has now.

        Raises:
            FailedError: a call was refused, or the table has no way for a changed property.
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
                            f"The local AWS cannot take {item} from {step.property} of {resource.type}."
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
        """Delete it, and wait until it is gone; with a name for it, keep a snapshot.

        Raises:
            FailedError: a call was refused, or it is still there after the time limit.
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
        """Refuse a property that no call of the row passes on: it would be dropped without a word."""
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
        """Send a call and return the answer.

        Raises:
            FailedError: the service refused it, or the model does not know an argument.
        """
        service, method = one.operation.split(".")
        client = self.clients(service)
        model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
        region = client.meta.region_name
        context = resource.context(elsewhere=None if region == "us-east-1" else region, **more)
        if one.when and not jmespath.search(one.when, context):
            return None
        arguments = _fill(one.arguments, context) or {}
        if one.every:
            names = self._covers(one, resource.properties) - one.names
            passed = {name: resource.properties[name] for name in names if only is None or name in only}
            arguments = passed | arguments
        arguments = self._secret(resource.type, arguments)
        try:
            fitted = _fit(model.input_shape, arguments, one.renamed) if arguments else {}
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
        """The value with its references to parameters and secrets resolved, for this call alone."""
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


_DROP = object()


def _attribute(path: str, known: Json) -> Json:
    """What JMESPath finds; after ``~`` stands which part of it is meant."""
    path, _, pattern = path.partition(" ~ ")
    value = jmespath.search(path, known)
    match = re.search(pattern, value) if pattern and value else None
    return match.group(1) if match else value


def _fill(value: Json, context: Mapping[str, Any]) -> Json:
    """The argument with its paths searched; what is not found is left out. None where nothing is left."""
    filled = _filled(value, context)
    return None if filled is _DROP else filled


def _filled(value: Json, context: Mapping[str, Any]) -> Json:
    if isinstance(value, str) and value.startswith("$$"):
        return value[1:]
    if isinstance(value, str) and value.startswith("$"):
        found = _clean(jmespath.search(value.lstrip("$!"), context))
        return _DROP if found is None and value.startswith("$!") else found
    if isinstance(value, Mapping):
        items = {name: _filled(item, context) for name, item in value.items()}
        if any(item is _DROP for item in items.values()):
            return None
        return {name: item for name, item in items.items() if item is not None} or None
    if isinstance(value, list):
        return [
            item for item in (_filled(each, context) for each in value) if item not in (None, _DROP)
        ] or None
    return value


def _clean(value: Json) -> Json:
    """Without the nulls that JMESPath leaves in mappings."""
    if isinstance(value, Mapping):
        kept = {name: _clean(item) for name, item in value.items() if item is not None}
        return {name: item for name, item in kept.items() if item is not None} or (None if value else {})
    return [_clean(item) for item in value] if isinstance(value, list) else value


_FORMS: dict[str, Callable[[Json], Json]] = {
    "string": text_of,
    "blob": text_of,
    "integer": int,
    "long": int,
    "double": float,
    "float": float,
    "boolean": lambda value: {"true": True, "false": False}[text_of(value)],
}


def _fit(shape: Shape, value: Json, renamed: Mapping[str, str]) -> Json:
    """The value in the form that the API's model asks for."""
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        members = {name.lower(): name for name in shape.members}
        fitted = {}
        for key, item in value.items():
            name = members.get(renamed.get(key, key).lower())
            if name is None:
                raise ValueError(f"extraneous key [{key}] is not permitted")
            fitted[name] = _fit(shape.members[name], item, renamed)
        return fitted
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_fit(shape.member, item, renamed) for item in value]
    if isinstance(shape, MapShape) and isinstance(value, Mapping):
        return {key: _fit(shape.value, item, renamed) for key, item in value.items()}
    if shape.type_name in _FORMS:
        return _FORMS[shape.type_name](value)
    raise ValueError(f"expected {shape.type_name}, found {text_of(value)[:80]}")
