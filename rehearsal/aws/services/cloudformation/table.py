"""The table of resource types, ``types/*.yaml``: how each is created, read, changed and deleted.

An argument of a call is data; in it ``"$path"`` stands for what JMESPath finds in the resource's properties,
and in ``id``, ``name``, ``attributes``, ``answer`` (of the call before) and ``item``. A place for which
nothing is found is left out; with ``"$!path"`` what encloses it is left out too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rehearsal.aws.services.cloudformation.template import Json

FOLDER = Path(__file__).parent / "types"
Row = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One operation of one service with its arguments."""

    operation: str
    """Service and method, as ``ec2.create_vpc``."""
    arguments: Mapping[str, Json]
    every: bool = False
    """Whether each property that is also a member of the operation is passed under its own name."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Names of members in the operation by their names in the template, at any depth."""
    without: tuple[str, ...] = ()
    """Properties that ``every`` does not pass."""
    when: str = ""
    """JMESPath: the call is made only if it finds something true."""

    @property
    def names(self) -> set[str]:
        """Properties that the arguments refer to."""
        found = [self.when, *re.findall(r'"\$!?[^"]*?"', json.dumps(self.arguments))]
        return {word for text in found for word in re.findall(r"\b[A-Z]\w+", text)}


@dataclass(frozen=True)
class Each:
    """A property whose elements are added and removed one by one."""

    property: str
    add: Call
    remove: Call | None
    initial: bool = True
    """Whether a creation adds them with ``add``."""
    again: str = ""
    """A property whose change adds every element again."""
    undone: bool = False
    """Whether the elements must be removed before the resource can be deleted."""

    def items(self, properties: Mapping[str, Any]) -> list[Json]:
        """Return the elements; those of a mapping as keys and values."""
        value = properties.get(self.property, [])
        return (
            [{"Key": key, "Value": one} for key, one in value.items()] if isinstance(value, dict) else value
        )


@dataclass(frozen=True)
class Kind:
    """A row of the table: how resources of one type are created, read, changed and deleted."""

    create: Call | None = None
    """None: the type is recorded and nothing is created."""
    id: str = "name"
    """JMESPath of the physical id, which Ref gives."""
    read: Call | None = None
    found: str = "@"
    """JMESPath of the resource in the answer to ``read``. Without it the resource does not exist."""
    delete: Call | None = None
    snapshot: Call | None = None
    """Deletes the resource and keeps a snapshot."""
    name: str = ""
    """The property that names it, with the maximum length of a generated name: ``RoleName:64``."""
    then: tuple[Call | Each, ...] = ()
    """Calls after the creation, and after a change of a property that they refer to."""
    change: tuple[Call, ...] = ()
    """Calls that change properties of ``create``. With ``partly`` they pass the changed properties only."""
    partly: bool = False
    unset: Mapping[str, Call] = field(default_factory=dict)
    """Calls that remove a property that the template no longer has."""
    replace: str = ""
    """Properties whose change replaces the resource (the documentation's "Update requires: Replacement")."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Fn::GetAtt: JMESPath in ``found`` and the resource; a pattern after `` ~ `` selects a part."""
    changing: str = ""
    """Attributes that an update without replacement may change."""
    ready: str = ""
    """JMESPath in what ``read`` found: true once the resource is ready."""
    recorded: str = ""
    """Properties that moto has no place for: they are recorded only."""


def _call(row: Row) -> Call:
    operation = next(key for key in row if "." in key)
    every, names, when = row.get("all", False), row.get("names", {}), row.get("when", "")
    return Call(operation, row[operation], every, names, tuple(row.get("without", "").split()), when)


def _step(row: Row) -> Call | Each:
    if "each" not in row:
        return _call(row)
    options = {name: row[name] for name in ("initial", "again", "undone") if name in row}
    return Each(row["each"], _call(row["add"]), _call(row["remove"]) if "remove" in row else None, **options)


def _kind(row: Row) -> Kind:
    calls: dict[str, Any] = {
        name: _call(row[name]) for name in ("create", "read", "delete", "snapshot") if name in row
    }
    plain = ("name", "partly", "replace", "attributes", "changing", "ready", "recorded")
    return Kind(
        **calls,
        **{name: row[name] for name in plain if name in row},
        id=row.get("create", {}).get("id", "name"),
        found=row.get("read", {}).get("found", "@"),
        then=tuple(_step(step) for step in row.get("then", [])),
        change=tuple(_call(step) for step in row.get("change", [])),
        unset={name: _call(one) for name, one in row.get("unset", {}).items()},
    )


KINDS: dict[str, Kind] = {
    name: _kind(row)
    for path in sorted(FOLDER.glob("*.yaml"))
    for name, row in yaml.safe_load(path.read_text(encoding="utf-8")).items()
}
"""The rows by type."""
