"""Works out the arguments of a call: fills a row's JMESPath expressions, and fits values to botocore's model.

The model of an operation determines the case of names, and whether a value is text, a number or a list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import jmespath
from botocore.model import ListShape, MapShape, Shape, StructureShape

from rehearsal.aws.services.cloudformation.template import Json, text_of

_DROP = object()


def find(path: str, known: Json) -> Json:
    """Return what a JMESPath finds; a pattern after `` ~ `` selects a part of it."""
    path, _, pattern = path.partition(" ~ ")
    value = jmespath.search(path, known)
    match = re.search(pattern, value) if pattern and value else None
    return match.group(1) if match else value


def fill(value: Json, context: Mapping[str, Any]) -> Json:
    """Return an argument with its paths replaced by what they find; what is not found is left out."""
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
    """Return the value without the nulls that JMESPath leaves in mappings."""
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


def fit(shape: Shape, value: Json, renamed: Mapping[str, str]) -> Json:
    """Return the value in the form of the API's model.

    :raises ValueError: the model has no such member, or the value has another type.
    """
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        members = {name.lower(): name for name in shape.members}
        fitted = {}
        for key, item in value.items():
            name = members.get(renamed.get(key, key).lower())
            if name is None:
                raise ValueError(f"extraneous key [{key}] is not permitted")
            fitted[name] = fit(shape.members[name], item, renamed)
        return fitted
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [fit(shape.member, item, renamed) for item in value]
    if isinstance(shape, MapShape) and isinstance(value, Mapping):
        return {key: fit(shape.value, item, renamed) for key, item in value.items()}
    if shape.type_name in _FORMS:
        return _FORMS[shape.type_name](value)
    raise ValueError(f"expected {shape.type_name}, found {text_of(value)[:80]}")
