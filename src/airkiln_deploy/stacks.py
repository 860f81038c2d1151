"""What stacks report: outputs, change sets and failures in words; and which of them a destruction deletes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Any

OF_A_POOL = {"queues": "queues", "workers": "worker"}
"""Templates that have a stack for each pool, and what stands before the pool's name in the stack's."""


SETTLED = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
"""Statuses of a stack that is what its last deployment made it."""


def of_pool(kind: str, pool: str) -> str:
    """The name of a pool's stack, without the environment's."""
    return f"{OF_A_POOL[kind]}-{pool}"


def infra(outputs: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """The outputs of stacks as folders of Parameter Store, without empty ones, which it refuses."""
    return {
        f"infra/{source}": {
            name: ",".join(value) if isinstance(value, list | tuple) else str(value)
            for name, value in values.items()
            if value
        }
        for source, values in outputs.items()
    }


def change_set(changes: list[Mapping[str, Json]]) -> list[str]:
    """A line for each resource that an update would change, with REPLACED where it is replaced."""
    lines = []
    for change in changes:
        one = change["ResourceChange"]
        line = f"{one['Action']} {one['ResourceType']} {one['LogicalResourceId']}"
        if one["Action"] == "Modify":
            names = {detail.get("Target", {}).get("Name") for detail in one.get("Details", [])}
            line += f": {', '.join(sorted(filter(None, names))) or 'its ' + ', '.join(one.get('Scope', []))}"
            replaced = {"True": "; REPLACED", "Conditional": "; perhaps REPLACED"}
            line += replaced.get(str(one.get("Replacement")), "")
        lines.append(line)
    return lines or ["Changes nothing that lives in a resource (outputs, tags or descriptions only)."]


def reasons(result: Mapping[str, Json], described: Mapping[str, Json]) -> list[str]:
    """Why CloudFormation failed: the resources that failed by themselves, or its own answer.

    :param result: the result of the failed task.
    :param described: what cloudformation_info returned of the stack, with the events, newest first.
    """
    refused = [str(result.get("msg") or result.get("output") or "AWS gave no reason.")]
    if "log" not in result:  # refused before anything began
        return refused
    found = []
    for event in (described.get("stack_events") or []) if described else []:
        status, reason = event["resource_status"], event.get("resource_status_reason", "")
        of_the_stack = event["resource_type"] == "AWS::CloudFormation::Stack"
        if of_the_stack and status in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"):
            break
        if status.endswith("_FAILED") and not of_the_stack and "cancelled" not in reason:
            found.append(f"{event['resource_type']} {event['logical_resource_id']} {status}: {reason}")
    return list(dict.fromkeys(reversed(found))) or refused


def to_delete(
    wiring: list[Mapping[str, Json]], present: Mapping[str, Json], environment: str, pool: str = ""
) -> dict[str, list[str]]:
    """The stacks that a destruction deletes, in order, and those it keeps. With `pool`, only its stacks."""
    prefix = f"airkiln-{environment}-"
    kinds = [wire["name"] for wire in reversed(wiring) if "kept" not in wire]
    if pool:
        own = [prefix + of_pool(kind, pool) for kind in kinds if kind in OF_A_POOL]
        return {"delete": [name for name in own if name in present], "keep": []}
    delete = [
        name
        for kind in kinds
        for name in sorted(present)
        if name == prefix + kind or (kind in OF_A_POOL and name.startswith(prefix + of_pool(kind, "")))
    ]
    return {"delete": delete, "keep": sorted(name for name in present if name not in delete)}


def remaining_outputs(
    present: Mapping[str, Json], environment: str, gone: list[str]
) -> dict[str, dict[str, str]]:
    """The outputs of the stacks that remain when those of `gone` are deleted."""
    return {
        name.removeprefix(f"airkiln-{environment}-"): dict(stack["outputs"])
        for name, stack in present.items()
        if name not in gone
    }
