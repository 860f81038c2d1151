"""Reads CloudFormation templates, and resolves their conditions and rules for given parameters.

A value that only AWS can give, such as the id of a VPC that does not exist yet, is `Unknown`. A condition
that depends on it is neither true nor false. So a refusal is certain, and the contents of a new stack are
listed with what is not known yet marked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Json = Any
"""Whatever a template may hold: text, number, list or mapping."""


class _Unknown:
    """A value that is not known before AWS has created something."""

    def __repr__(self) -> str:
        return "Unknown"


Unknown = _Unknown()


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the fast one, if any
    """YAML with CloudFormation's short forms."""


def _short_form(loader: _Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Json = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {tag if tag in ("Ref", "Condition") else f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _short_form)


def digest(text: str) -> str:
    """What identifies a template. Blank lines at its end, which Ansible does not send, make no difference."""
    return hashlib.sha256(text.rstrip().encode()).hexdigest()


@cache
def templates(folder: str) -> dict[str, dict[str, Json]]:
    """Every template of a folder by its name, without the properties of resources."""
    found = {}
    for path in sorted(Path(folder).glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        body = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
        found[path.stem] = {
            "path": str(path),
            "digest": digest(text),
            "parameters": body.get("Parameters", {}),
            "conditions": body.get("Conditions", {}),
            "rules": body.get("Rules", {}),
            "resources": {
                name: {key: resource[key] for key in ("Type", "Condition") if key in resource}
                for name, resource in body["Resources"].items()
            },
            "outputs": {
                name: {key: output[key] for key in ("Description", "Condition") if key in output}
                for name, output in body.get("Outputs", {}).items()
            },
        }
    return found


class Meaning:
    """One template with the values of its parameters. Those in `unknown` are not known yet."""

    def __init__(
        self, template: Mapping[str, Json], values: Mapping[str, Json], unknown: Iterable[str]
    ) -> None:
        self._template = template
        self._values: dict[str, Json] = {}
        unknown = set(unknown)
        for name, form in template["parameters"].items():
            value = Unknown if name in unknown else values.get(name, form.get("Default", Unknown))
            if value is not Unknown:
                value = as_text(value)
                if is_list(form):
                    value = value.split(",")
            self._values[name] = value

    def condition(self, name: str) -> Json:
        """True, False or Unknown."""
        return self._resolve(self._template["conditions"][name])

    def refusals(self) -> list[str]:
        """The assertion texts of the Rules that are certain to refuse."""
        return [
            str(assertion["AssertDescription"])
            for rule in self._template["rules"].values()
            if self._resolve(rule.get("RuleCondition", True)) is True
            for assertion in rule["Assertions"]
            if self._resolve(assertion["Assert"]) is False
        ]

    def made(self, kind: str) -> dict[str, str]:
        """Resources or outputs that would exist, by name, with a condition that is not known yet or ""."""
        answers = {
            name: self.condition(item["Condition"]) if "Condition" in item else True
            for name, item in self._template[kind].items()
        }
        return {
            name: "" if answer is True else f"if {self._template[kind][name]['Condition']}"
            for name, answer in answers.items()
            if answer is not False
        }

    def _resolve(self, value: Json) -> Json:
        if isinstance(value, Mapping) and len(value) == 1:
            ((key, argument),) = value.items()
            function = _FUNCTIONS.get(key)
            return function(self, argument) if function else Unknown
        if isinstance(value, list):
            resolved = [self._resolve(each) for each in value]
            return Unknown if Unknown in resolved else resolved
        return value

    def _ref(self, name: str) -> Json:
        return self._values.get(name, Unknown)

    def _equals(self, pair: list[Json]) -> Json:
        both = self._resolve(pair)
        return Unknown if both is Unknown else as_text(both[0]) == as_text(both[1])

    def _not(self, one: list[Json]) -> Json:
        answer = self._resolve(one[0])
        return Unknown if answer is Unknown else not answer

    def _every(self, several: list[Json]) -> Json:
        answers = [self._resolve(each) for each in several]
        return False if False in answers else Unknown if Unknown in answers else True

    def _any(self, several: list[Json]) -> Json:
        answers = [self._resolve(each) for each in several]
        return True if True in answers else Unknown if Unknown in answers else False

    def _contains(self, pair: list[Json]) -> Json:
        both = self._resolve(pair)
        return Unknown if both is Unknown else as_text(both[1]) in [as_text(each) for each in both[0]]

    def _join(self, pair: list[Json]) -> Json:
        parts = self._resolve(pair[1])
        return Unknown if parts is Unknown else str(pair[0]).join(as_text(part) for part in parts)


_FUNCTIONS: dict[str, Callable[[Meaning, Any], Json]] = {
    "Ref": Meaning._ref,
    "Condition": Meaning.condition,
    "Fn::Equals": Meaning._equals,
    "Fn::Not": Meaning._not,
    "Fn::And": Meaning._every,
    "Fn::Or": Meaning._any,
    "Fn::Contains": Meaning._contains,
    "Fn::Join": Meaning._join,
}


def is_list(form: Mapping[str, Json]) -> bool:
    """Whether a parameter of this form takes several values, separated by commas."""
    return str(form["Type"]).startswith("List<") or form["Type"] == "CommaDelimitedList"


def as_text(value: Json) -> str:
    """A value as CloudFormation takes it: lists with commas, booleans in lower case."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(as_text(each) for each in value)
    return str(value)


def refusals(stacks: Iterable[Mapping[str, Json]], every: Mapping[str, Mapping[str, Json]]) -> list[str]:
    """What the Rules of planned stacks are certain to refuse, whatever the outputs will be, in sentences."""
    return [
        f"{stack['short']}: {sentence}"
        for stack in stacks
        if stack["wanted"]
        for sentence in Meaning(
            every[stack["kind"]], stack["given"], [*stack["inputs"], *stack["previous"]]
        ).refusals()
    ]


def made(
    template: Mapping[str, Json], values: Mapping[str, Json], unknown: Iterable[str] = ()
) -> dict[str, str]:
    """What a new stack would hold: the type of each resource, and its condition where that is not known."""
    notes = Meaning(template, values, unknown).made("resources")
    return {
        name: template["resources"][name]["Type"] + (f" ({note}, not known yet)" if note else "")
        for name, note in notes.items()
    }


def expected_outputs(
    stack: Mapping[str, Json],
    given: Mapping[str, Json],
    present: Mapping[str, str],
    every: Mapping[str, Mapping[str, Json]],
    not_known: str,
) -> dict[str, str]:
    """The outputs after a run in check mode: present ones, and `not_known` for those that would be new."""
    unknown = [*given["unknown"], *given["ignored"]]
    names = Meaning(every[stack["kind"]], given["given"], unknown).made("outputs")
    if not present:
        return dict.fromkeys(names, f"{not_known}: output of {stack['name']}")
    return {name: present.get(name, f"{not_known}: output of {stack['name']}") for name in names}
