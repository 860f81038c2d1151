"""Parses templates, evaluates their functions, and validates parameters as CloudFormation does.

Source: the CloudFormation template reference, "Intrinsic functions" and "Parameters section".

Left out: Transform, Fn::ForEach, Fn::ImportValue, Fn::GetAZs, Fn::FindInMap, nested stacks, custom resources.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_network
from typing import Any

import yaml
from moto.core.exceptions import ServiceException

Json = Any
"""Whatever a template may hold: text, number, list or mapping."""
ABSENT = object()
"""What AWS::NoValue stands for: its place is left out."""
_NAME = re.compile(r"\$\{([^}]+)\}")


class RefusedError(ServiceException):
    """The request is refused, and nothing has been made."""

    code = "ValidationError"


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms."""


def _short_form(loader: _Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    name = tag if tag in ("Ref", "Condition") else f"Fn::{tag}"
    if isinstance(node, yaml.ScalarNode):
        value: Json = loader.construct_scalar(node)
        if tag == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]  # the third and last kind
    return {name: value}


_Loader.add_multi_constructor("!", _short_form)


def parse(text: str) -> dict[str, Any]:
    """The template as data, its short forms written out.

    Raises:
        RefusedError: the text is no template.
    """
    try:
        body = yaml.load(text, _Loader)  # noqa: S506 - derived from SafeLoader
    except yaml.YAMLError as error:
        raise RefusedError(f"Template format error: YAML not well-formed. {error}") from error
    if not isinstance(body, dict) or not body.get("Resources"):
        raise RefusedError("Template format error: At least one Resources member must be defined.")
    return body


def text_of(value: Json) -> str:
    """A value as CloudFormation writes it into text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(text_of, value))
    return json.dumps(value) if isinstance(value, dict) else str(value)


class Evaluator:
    """Evaluates functions. A subclass supplies references and attributes of resources."""

    def __init__(self, body: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        self.body = body
        self.values = {"AWS::NoValue": ABSENT, **values}
        """Parameters and pseudo parameters."""

    def reference(self, name: str) -> Json:
        """What Ref of a resource gives."""
        raise NotImplementedError

    def attribute(self, name: str, attribute: str) -> Json:
        """What GetAtt of a resource gives."""
        raise NotImplementedError

    def condition(self, name: str) -> bool:
        """Whether a condition of the template holds.

        Raises:
            RefusedError: there is no such condition.
        """
        conditions = self.body.get("Conditions", {})
        if name not in conditions:
            raise RefusedError(f"Template error: condition {name} is used and not defined.")
        return bool(self.resolve(conditions[name]))

    def exists(self, item: Mapping[str, Any]) -> bool:
        """Whether the condition of a resource or an output holds."""
        return "Condition" not in item or self.condition(item["Condition"])

    def resolve(self, value: Json) -> Json:
        """The value with every function worked out."""
        if isinstance(value, dict):
            if len(value) == 1:
                ((key, argument),) = value.items()
                function = self._functions.get(key)
                if function and not (key == "Condition" and isinstance(argument, dict)):
                    return function(argument)
                if key.startswith("Fn::"):
                    raise RefusedError(f"Template error: {key} is not known to this CloudFormation.")
            resolved = {key: self.resolve(item) for key, item in value.items()}
            return {key: item for key, item in resolved.items() if item is not ABSENT}
        if isinstance(value, list):
            return [item for item in (self.resolve(each) for each in value) if item is not ABSENT]
        return value

    @cached_property
    def _functions(self) -> dict[str, Callable[[Any], Any]]:
        many = self.resolve
        return {
            "Ref": self._ref,
            "Condition": self.condition,
            "Fn::GetAtt": lambda argument: self.attribute(argument[0], argument[1]),
            "Fn::Sub": self._sub,
            "Fn::If": lambda argument: many(argument[1] if self.condition(argument[0]) else argument[2]),
            "Fn::Join": lambda argument: str(argument[0]).join(map(text_of, many(argument[1]))),
            "Fn::Split": lambda argument: text_of(many(argument[1])).split(argument[0]),
            "Fn::Select": lambda argument: _select(int(many(argument[0])), many(argument[1])),
            "Fn::Cidr": lambda argument: _cidr(*many(argument)),
            "Fn::Equals": lambda argument: text_of(many(argument[0])) == text_of(many(argument[1])),
            "Fn::Not": lambda argument: not many(argument[0]),
            "Fn::And": lambda argument: all(many(argument)),
            "Fn::Or": lambda argument: any(many(argument)),
            "Fn::Contains": lambda argument: text_of(many(argument[1])) in map(text_of, many(argument[0])),
        }

    def _ref(self, name: str) -> Json:
        return self.values[name] if name in self.values else self.reference(name)

    def _sub(self, argument: Json) -> str:
        text, own = (argument, {}) if isinstance(argument, str) else (argument[0], self.resolve(argument[1]))

        def fill(match: re.Match[str]) -> str:
            name = match.group(1)
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in own:
                return text_of(own[name])
            return text_of(self.attribute(*name.split(".", 1)) if "." in name else self._ref(name))

        return _NAME.sub(fill, text)


class _References(Evaluator):
    """Collects the resources that a value refers to, in the branches that are taken."""

    def __init__(self, body: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        super().__init__(body, values)
        self.found: set[str] = set()

    def reference(self, name: str) -> Json:
        self.found.add(name)
        return f"{name},{name},{name}"

    def attribute(self, name: str, attribute: str) -> Json:
        return self.reference(name)


def in_order(body: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, set[str]]:
    """The resources that exist with these parameters, each after those it needs, with their names.

    Raises:
        RefusedError: something is referred to that does not exist, or resources need each other in a circle.
    """
    conditions = Evaluator(body, values)
    needs: dict[str, set[str]] = {}
    for name, resource in body["Resources"].items():
        if not conditions.exists(resource):
            continue
        references = _References(body, values)
        references.resolve([resource.get("Properties", {}), resource.get("CreationPolicy", {})])
        depends = resource.get("DependsOn", [])
        needs[name] = (
            references.found | {depends} if isinstance(depends, str) else references.found | {*depends}
        )
    unknown = set().union(*needs.values()) - set(body["Resources"]) if needs else set()
    excluded = {other for name in needs for other in needs[name] - set(needs) - _depends(body, name)}
    if unknown or excluded:
        raise RefusedError(
            "Template format error: Unresolved resource dependencies "
            f"{sorted(unknown | excluded)} in the Resources block of the template"
        )
    ordered: dict[str, set[str]] = {}
    while len(ordered) < len(needs):
        ready = [
            name for name in needs if name not in ordered and not needs[name] & set(needs) - set(ordered)
        ]
        if not ready:
            raise RefusedError(f"Circular dependency between resources: {sorted(set(needs) - set(ordered))}")
        ordered |= {name: needs[name] & set(needs) for name in ready}
    return ordered


def _depends(body: Mapping[str, Any], name: str) -> set[str]:
    depends = body["Resources"][name].get("DependsOn", [])
    return {depends} if isinstance(depends, str) else {*depends}


def parameters(
    body: Mapping[str, Any], given: Mapping[str, str], real: Callable[[str, str], bool]
) -> dict[str, Any]:
    """The values of all parameters, lists as lists.

    :param real: returns whether a resource exists, by an AWS-specific parameter type and its id.

    Raises:
        RefusedError: a value is missing, unknown or not allowed, or a Rule refuses them together.
    """
    defined = body.get("Parameters", {})
    if unknown := sorted(set(given) - set(defined)):
        raise RefusedError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    texts = {name: given.get(name, one.get("Default")) for name, one in defined.items()}
    if missing := [name for name, text in texts.items() if text is None]:
        raise RefusedError(f"Parameters: [{', '.join(missing)}] must have values")
    values = {}
    for name, definition in defined.items():
        parameter = Parameter(name, definition, text_of(texts[name]))
        if problem := parameter.problem(real):
            raise RefusedError(problem)
        values[name] = parameter.value
    return values


@dataclass(frozen=True)
class Parameter:
    """One parameter with the text given for it."""

    name: str
    definition: Mapping[str, Any]
    text: str

    @property
    def items(self) -> list[str]:
        """The elements of a list, or the one value."""
        kind = self.definition["Type"]
        is_list = kind.startswith("List<") or kind == "CommaDelimitedList"
        return [item.strip() for item in self.text.split(",")] if is_list else [self.text]

    @property
    def value(self) -> str | list[str]:
        """What Ref gives."""
        kind = self.definition["Type"]
        return self.items if kind.startswith("List<") or kind == "CommaDelimitedList" else self.text

    def problem(self, real: Callable[[str, str], bool]) -> str | None:
        """Why the text is refused, if it is."""
        kind = re.sub(r"^List<(.*)>$", r"\1", self.definition["Type"])
        reason = self.definition.get("ConstraintDescription")
        for item in self.items:
            if (broken := self._broken(kind, item)) is not None:
                return f"Parameter {self.name} failed to satisfy constraint: {reason or broken}"
            if kind.startswith("AWS::") and not real(kind, item):
                return f"parameter value {item} for parameter name {self.name} does not exist"
        return None

    def _broken(self, kind: str, item: str) -> str | None:
        rules = self.definition
        if "AllowedValues" in rules and item not in map(text_of, rules["AllowedValues"]):
            return f"must be one of {', '.join(map(text_of, rules['AllowedValues']))}"
        if "AllowedPattern" in rules and not re.fullmatch(rules["AllowedPattern"], item):
            return f"must match pattern {rules['AllowedPattern']}"
        if not int(rules.get("MinLength", 0)) <= len(item) <= int(rules.get("MaxLength", len(item))):
            return "has the wrong length"
        if kind == "Number":
            if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", item):
                return "must be a number"
            if not float(rules.get("MinValue", item)) <= float(item) <= float(rules.get("MaxValue", item)):
                return "is too large or too small"
        return None


def refusals(evaluator: Evaluator) -> list[str]:
    """The sentences of the Rules that refuse these parameters."""
    return [
        assertion["AssertDescription"]
        for rule in evaluator.body.get("Rules", {}).values()
        if evaluator.resolve(rule.get("RuleCondition", True))
        for assertion in rule["Assertions"]
        if not evaluator.resolve(assertion["Assert"])
    ]


def _select(index: int, items: list[Json]) -> Json:
    if not 0 <= index < len(items):
        raise RefusedError(f"Template error: Fn::Select cannot select nonexistent value at index {index}")
    return items[index]


def _cidr(block: str, count: Json, bits: Json) -> list[str]:
    network = ip_network(block)
    parts: Iterable[Any] = network.subnets(new_prefix=network.max_prefixlen - int(bits))
    return [str(part) for part, _ in zip(parts, range(int(count)), strict=False)]
