"""Creates, updates, rolls back and deletes stacks, one resource after the other.

Source: the CloudFormation user guide, "Stack creation events", "Update behaviors of stack resources" and
"Stack failure options".
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from rehearsal.aws.services.cloudformation.calls import FailedError, Provider
from rehearsal.aws.services.cloudformation.models import Deployed, Resolver, Stack, Wanted, now
from rehearsal.aws.services.cloudformation.table import Each
from rehearsal.aws.services.cloudformation.template import Json, RefusedError, in_order, text_of

log = logging.getLogger(__name__)
_DURATION = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?")


class Operations:
    """The operations on stacks; a provider creates, changes and deletes their resources."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider

    def create(self, stack: Stack, on_failure: str = "ROLLBACK") -> None:
        """Create every resource.

        :param on_failure: ``ROLLBACK``, ``DO_NOTHING`` (keep what was created) or ``DELETE`` (the stack too).
        """
        stack.event("CREATE_IN_PROGRESS", "User Initiated")
        resolver = Resolver(stack, stack.wanted, stack.resources)
        try:
            for logical, needs in in_order(stack.wanted.body, resolver.values).items():
                self._make(stack, resolver, logical, needs)
            stack.outputs = outputs(resolver)
        except Exception as error:
            reason = _reason(stack, error, "create")
            if on_failure == "DO_NOTHING":
                return stack.event("CREATE_FAILED", reason)
            if on_failure == "DELETE":
                return self.delete(stack)
            stack.event("ROLLBACK_IN_PROGRESS", f"{reason} Rollback requested by user.")
            failed = self._remove(stack, list(stack.resources.values()), creating=True)
            return stack.event("ROLLBACK_FAILED" if failed else "ROLLBACK_COMPLETE", failed)
        return stack.event("CREATE_COMPLETE")

    def update(self, stack: Stack, wanted: Wanted) -> None:
        """Change the stack to another template or other parameters; on a failure, change it back."""
        stack.updated = now()
        stack.event("UPDATE_IN_PROGRESS", "User Initiated")
        undo: list[Callable[[], None]] = []
        garbage: list[Deployed] = []
        resolver = Resolver(stack, wanted, stack.resources)
        try:
            order = in_order(wanted.body, resolver.values)
            for logical, needs in order.items():
                garbage += self._advance(resolver, logical, needs, undo)
            made = outputs(resolver)
        except Exception as error:
            stack.event("UPDATE_ROLLBACK_IN_PROGRESS", _reason(stack, error, "update"))
            try:
                for step in reversed(undo):
                    step()
            except FailedError as problem:
                return stack.event("UPDATE_ROLLBACK_FAILED", str(problem))
            return stack.event("UPDATE_ROLLBACK_COMPLETE")
        stack.event("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        garbage += [stack.resources.pop(name) for name in list(stack.resources) if name not in order]
        stack.resources = {name: stack.resources[name] for name in order}
        stack.wanted, stack.outputs = wanted, made
        failed = self._remove(stack, garbage)
        return stack.event("UPDATE_COMPLETE", failed)

    def delete(self, stack: Stack) -> None:
        """Delete the stack, except resources with a DeletionPolicy to retain them."""
        stack.event("DELETE_IN_PROGRESS", "User Initiated")
        failed = self._remove(stack, list(stack.resources.values()))
        if failed:
            return stack.event("DELETE_FAILED", failed)
        stack.deleted = now()
        return stack.event("DELETE_COMPLETE")

    def plan(self, stack: Stack, wanted: Wanted) -> list[dict[str, Any]]:
        """Return the changes that an update would make, in the form of a change set.

        :raises RefusedError: the template is inconsistent.
        """
        resolver = Resolver(stack, wanted, stack.resources)
        order = in_order(wanted.body, resolver.values)
        changes = [
            _change("Remove", resource) for name, resource in stack.resources.items() if name not in order
        ]
        for logical in order:
            kind = wanted.body["Resources"][logical]["Type"]
            if logical not in stack.resources:
                resolver.new.add(logical)
                changes.append(_change("Add", Deployed(logical, kind, {})))
                continue
            resource = stack.resources[logical]
            properties = self._properties(resolver, logical)
            if names := _different(resource.properties, properties):
                replaced = names & set(self.provider.kinds[kind].replace.split())
                if replaced or kind != resource.type:
                    resolver.new.add(logical)
                else:
                    changing = self.provider.kinds[kind].changing.split()
                    resolver.volatile |= {(logical, name) for name in changing}
                maybe = all("{{changed:" in text_of(properties.get(name, "")) for name in replaced)
                details = [(name, _recreation(name in replaced, maybe)) for name in sorted(names)]
                mark = ("Conditional" if maybe else "True") if replaced else "False"
                changes.append(_change("Modify", resource, mark, details))
        return changes

    def _advance(
        self, resolver: Resolver, logical: str, needs: set[str], undo: list[Callable[[], None]]
    ) -> list[Deployed]:
        """Create, change or replace one resource, and add to ``undo`` how to revert that.

        :returns: the resources to delete once the update has succeeded.
        """
        stack = resolver.stack
        present = stack.resources.get(logical)
        if present is None:
            undo.append(lambda: self._restore(stack, logical, None))
            self._make(stack, resolver, logical, needs)
            return []
        definition = resolver.body["Resources"][logical]
        properties = self._properties(resolver, logical)
        before = (present.properties, present.deletion, present.replacement, present.needs)
        names = _different(present.properties, properties)
        kind = self.provider.kinds[present.type]
        if names & set(kind.replace.split()) or definition["Type"] != present.type:
            own = kind.name.partition(":")[0]
            if properties.get(own) and properties.get(own) == present.properties.get(own):
                raise FailedError(
                    "CloudFormation cannot update a stack when a custom-named resource requires replacing. "
                    f"Rename {properties[own]} and update the stack again."
                )
            stack.event(
                "UPDATE_IN_PROGRESS", "Requested update requires the creation of a new resource.", present
            )
            undo.append(lambda: self._restore(stack, logical, present))
            self._make(stack, resolver, logical, needs, "UPDATE")
            present.deletion = present.replacement
            return [present]

        def revert() -> None:
            changed = present.properties
            present.properties, present.deletion, present.replacement, present.needs = before
            if names:
                self._change(stack, present, changed)

        undo.append(revert)
        present.deletion = definition.get("DeletionPolicy", "Delete")
        present.replacement = definition.get("UpdateReplacePolicy", "Delete")
        present.properties, present.needs = properties, needs
        if names:
            self._change(stack, present, before[0])
        return []

    def _change(self, stack: Stack, resource: Deployed, old: Mapping[str, Any]) -> None:
        stack.event("UPDATE_IN_PROGRESS", "", resource)
        try:
            self.provider.update(resource, old)
        except Exception as error:
            stack.event("UPDATE_FAILED", str(error), resource)
            raise
        stack.event("UPDATE_COMPLETE", "", resource)

    def _make(
        self, stack: Stack, resolver: Resolver, logical: str, needs: set[str], verb: str = "CREATE"
    ) -> None:
        definition = resolver.body["Resources"][logical]
        resource = Deployed(
            logical,
            definition["Type"],
            self._properties(resolver, logical),
            deletion=definition.get("DeletionPolicy", "Delete"),
            replacement=definition.get("UpdateReplacePolicy", "Delete"),
            needs=needs,
        )
        stack.resources[logical] = resource
        stack.event(f"{verb}_IN_PROGRESS", "", resource)
        try:
            self.provider.create(stack.name, resource)
            stack.event(f"{verb}_IN_PROGRESS", "Resource creation Initiated", resource)
            self._await_signals(stack, resource, resolver.resolve(definition.get("CreationPolicy", {})))
        except Exception as error:
            stack.event(f"{verb}_FAILED", str(error), resource)
            raise
        stack.event(f"{verb}_COMPLETE", "", resource)

    def _restore(self, stack: Stack, logical: str, former: Deployed | None) -> None:
        """Delete what an update created, and restore the resource that it replaced."""
        made = stack.resources.pop(logical, None)
        if made is not None and made is not former:
            self.provider.delete(made)
            stack.event("DELETE_COMPLETE", "", made)
        if former is not None:
            stack.resources[logical] = former
            stack.event("UPDATE_COMPLETE", "", former)

    def _remove(self, stack: Stack, resources: list[Deployed], *, creating: bool = False) -> str:
        """Delete resources in reverse order of dependency. Those that a failed one depends on are kept.

        :returns: which could not be deleted, as a status reason, or an empty string.
        """
        failed: list[str] = []
        blocked: set[str] = set()
        for resource in reversed(resources):
            if resource.logical in blocked:
                blocked |= resource.needs
                continue
            retained = resource.deletion == "Retain" or (
                resource.deletion == "RetainExceptOnCreate" and not creating
            )
            if retained and resource.id:
                stack.event("DELETE_SKIPPED", "", resource)
            else:
                stack.event("DELETE_IN_PROGRESS", "", resource)
                snapshot = f"{stack.name}-snapshot-{resource.logical}".lower()
                try:
                    self.provider.delete(resource, snapshot if resource.deletion == "Snapshot" else "")
                except FailedError as error:
                    stack.event("DELETE_FAILED", str(error), resource)
                    failed.append(resource.logical)
                    blocked |= resource.needs
                    continue
                stack.event("DELETE_COMPLETE", "", resource)
            if stack.resources.get(resource.logical) is resource:
                del stack.resources[resource.logical]
        return f"The following resource(s) failed to delete: [{', '.join(failed)}]. " if failed else ""

    def _properties(self, resolver: Resolver, logical: str) -> dict[str, Any]:
        """Return the resolved properties, with the stack's tags where the type takes tags."""
        definition = resolver.body["Resources"][logical]
        properties: dict[str, Any] = resolver.resolve(definition.get("Properties", {}))
        steps = self.provider.kinds[definition["Type"]].then
        if not resolver.tags or not any(isinstance(step, Each) and step.property == "Tags" for step in steps):
            return properties
        own = properties.get("Tags", [])
        more = {"PropagateAtLaunch": True} if "AutoScaling" in definition["Type"] else {}
        tags = [{"Key": key, "Value": value} | more for key, value in resolver.tags.items()]
        return properties | {
            "Tags": own + [tag for tag in tags if tag["Key"] not in {each["Key"] for each in own}]
        }

    def _await_signals(self, stack: Stack, resource: Deployed, policy: Mapping[str, Any]) -> None:
        """Wait for the number of success signals that a CreationPolicy requires.

        :raises FailedError: a failure was signalled, the time ran out, or the stack is being deleted.
        """
        signal = policy.get("ResourceSignal")
        if signal is None:
            return
        count = int(signal.get("Count", 1))
        deadline = time.monotonic() + seconds(str(signal.get("Timeout", "PT5M")))
        with stack.changed:
            while True:
                states = list(resource.signals.values())
                if failures := states.count("FAILURE"):
                    raise FailedError(
                        f"Received {failures} FAILURE signal(s) out of {count}. "
                        "Unable to satisfy 100% MinSuccessfulInstancesPercent requirement"
                    )
                if states.count("SUCCESS") >= count:
                    return
                left = deadline - time.monotonic()
                if left <= 0 or stack.cancelled:
                    missing = count - states.count("SUCCESS")
                    raise FailedError(
                        "Resource creation cancelled"
                        if stack.cancelled
                        else f"Failed to receive {missing} resource signal(s) within the specified duration"
                    )
                stack.changed.wait(left)


def outputs(resolver: Resolver) -> dict[str, dict[str, str]]:
    """Return the outputs whose condition holds, in the form of DescribeStacks."""
    return {
        name: {
            "OutputKey": name,
            "OutputValue": text_of(resolver.resolve(output["Value"])),
            "Description": output.get("Description", ""),
        }
        for name, output in resolver.body.get("Outputs", {}).items()
        if resolver.exists(output)
    }


def seconds(duration: str) -> int:
    """Return the seconds of an ISO 8601 duration of hours, minutes and seconds, such as PT15M.

    :raises FailedError: the text is not such a duration.
    """
    match = _DURATION.fullmatch(duration)
    if not match:
        raise FailedError(f"Invalid duration {duration}: write it like PT15M.")
    hours, minutes, rest = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + rest


def _different(old: Mapping[str, Json], new: Mapping[str, Json]) -> set[str]:
    return {name for name in {*old, *new} if old.get(name) != new.get(name)}


def _recreation(replaced: bool, maybe: bool) -> str:
    return ("Conditionally" if maybe else "Always") if replaced else "Never"


def _change(
    action: str, resource: Deployed, replacement: str = "", details: list[tuple[str, str]] | None = None
) -> dict[str, Any]:
    change: dict[str, Any] = {
        "Action": action,
        "LogicalResourceId": resource.logical,
        "ResourceType": resource.type,
        "PhysicalResourceId": resource.id,
        "Replacement": replacement,
        "Scope": ["Properties"] if details else [],
        "Details": [
            {"Target": {"Attribute": "Properties", "Name": name, "RequiresRecreation": recreation}}
            for name, recreation in details or []
        ],
    }
    return {"Type": "Resource", "ResourceChange": {name: item for name, item in change.items() if item}}


def _reason(stack: Stack, error: Exception, verb: str) -> str:
    if not isinstance(error, FailedError | RefusedError):
        log.exception("stack %s", stack.name)
    failed = [name for name, one in stack.resources.items() if one.status.endswith("_FAILED")]
    if not failed:
        return str(error)
    return f"The following resource(s) failed to {verb}: [{', '.join(failed)}]."
