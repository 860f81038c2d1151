"""A template is short enough to be read, and each part of it says what it is for."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from rehearsal.aws.services.cloudformation.template import Json
from tests.stacks.static.template import EVERYTHING, NAMES, SAMPLES, Template, every_template

LINES = 400
WRONG_VALUES = ("Not a value", "x y", "<>", "../..", "%")
"""Refused by every pattern."""
PLAIN_TYPES = {"String", "Number", "CommaDelimitedList"}
DATA = {
    "AWS::EFS::FileSystem": "Retain",
    "AWS::ElastiCache::ReplicationGroup": "Snapshot",
    "AWS::KMS::Alias": "Retain",
    "AWS::KMS::Key": "Retain",
    "AWS::Logs::LogGroup": "Retain",
    "AWS::RDS::DBInstance": "Snapshot",
    "AWS::S3::Bucket": "Retain",
    "AWS::S3::BucketPolicy": "Retain",
}


def references(value: Json) -> Iterator[str]:
    """Every name that a part of a template refers to."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "Ref":
                yield item
            elif key == "Fn::GetAtt":
                yield item[0]
            elif key == "Fn::Sub":
                yield from re.findall(r"\$\{([^!}.]+)", item if isinstance(item, str) else item[0])
            elif key == "Fn::If":
                yield item[0]
            elif key == "Condition" and isinstance(item, str):
                yield item
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_the_templates_of_the_design_are_there() -> None:
    design = {
        "network",
        "security",
        "data",
        "edge",
        "public",
        "webserver",
        "scheduler",
        "queues",
        "workers",
        "observability",
        "offload",
    }
    assert design <= set(NAMES)


def test_a_template_has_at_most_400_lines(template: Template) -> None:
    assert template.text.count("\n") <= LINES


def test_a_template_says_what_it_is(template: Template) -> None:
    assert template.body["AWSTemplateFormatVersion"] == "2010-09-09"
    assert template.body["Description"].startswith("Airkiln ")


def test_every_parameter_stands_in_one_named_group(template: Template) -> None:
    groups = template.body["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = [name for group in groups for name in group["Parameters"]]
    assert sorted(grouped) == sorted(template.parameters)
    assert all(group["Label"]["default"] for group in groups)


def test_every_parameter_is_described_in_a_sentence(template: Template) -> None:
    bare = [
        name
        for name, parameter in template.parameters.items()
        if not re.fullmatch(r"[A-Z].{10,}\.", parameter.get("Description", ""))
    ]
    assert bare == []


def test_every_parameter_is_as_narrow_as_its_type_allows(template: Template) -> None:
    loose = [
        name
        for name, parameter in template.parameters.items()
        if parameter["Type"] in PLAIN_TYPES
        and "AllowedValues" not in parameter
        and not (
            {"MinValue", "MaxValue"} <= set(parameter)
            if parameter["Type"] == "Number"
            else "AllowedPattern" in parameter
        )
    ]
    assert loose == []


def test_every_constraint_says_what_is_meant(template: Template) -> None:
    silent = [
        name
        for name, parameter in template.parameters.items()
        if set(parameter) & {"AllowedPattern", "AllowedValues", "MinValue", "MaxValue"}
        and not re.fullmatch(r"must .+\.", parameter.get("ConstraintDescription", ""))
    ]
    assert silent == []


def test_every_pattern_takes_its_sample_and_default_and_refuses_nonsense(template: Template) -> None:
    for name, parameter in template.parameters.items():
        if "AllowedPattern" not in parameter:
            continue
        pattern = re.compile(parameter["AllowedPattern"])
        assert parameter["AllowedPattern"].startswith("^")
        assert parameter["AllowedPattern"].endswith("$")
        good = str(parameter.get("Default", SAMPLES.get(name))), EVERYTHING.get(template.name, {}).get(name)
        for value in [part for text in good if text is not None for part in text.split(",")]:
            assert pattern.search(value), f"{name} refuses {value!r}"
        for value in WRONG_VALUES:
            assert not pattern.search(value), f"{name} takes {value!r}"


@pytest.mark.parametrize("name", ["prod-eu", "Prod", "9lives", "p", "a" * 16, "prod.eu", "prod_eu", ""])
def test_no_environment_is_named_so_that_another_could_match_its_names(template: Template, name: str) -> None:
    assert not re.search(template.parameters["EnvironmentName"]["AllowedPattern"], name)


def test_a_parameter_of_one_name_is_the_same_in_every_template() -> None:
    seen: dict[str, Json] = {}
    for template in every_template():
        for name, parameter in template.parameters.items():
            form = (parameter["Type"], parameter.get("AllowedPattern"), parameter.get("AllowedValues"))
            if name in ("InstanceType", "PublicSubnetIds", "InstanceProfileName"):
                continue
            assert seen.setdefault(name, form) == form, f"{name} of {template.name} differs"


def test_conditions_are_named_for_what_there_is(template: Template) -> None:
    assert [name for name in template.body.get("Conditions", {}) if not re.match(r"Has[A-Z]", name)] == []


def test_nothing_is_declared_and_unused(template: Template) -> None:
    used = set(references({key: value for key, value in template.body.items() if key != "Metadata"}))
    assert set(template.parameters) - used == set()
    assert set(template.body.get("Conditions", {})) - used == set()


def test_every_output_is_described_and_none_is_exported(template: Template) -> None:
    for output in template.outputs.values():
        assert output["Description"].endswith(".")
        assert "Export" not in output


def test_what_holds_data_outlives_its_stack_but_not_its_own_failed_creation(template: Template) -> None:
    """What a first attempt left under a fixed name would be in the way of the second one."""
    for name, resource in template.resources.items():
        kept = DATA.get(resource["Type"])
        if kept:
            on_deletion = {"Retain": "RetainExceptOnCreate"}.get(kept, kept)
            found = (resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy"))
            assert found == (on_deletion, kept), name


def test_no_template_asks_for_a_key_pair_or_more_than_a_line_of_user_data(template: Template) -> None:
    assert not re.search(r"KeyName|UserData|KeyPair", template.text)


def test_no_secret_stands_in_a_template(template: Template) -> None:
    secrets = re.findall(r"^\s*(?:\w*Password|AuthToken|ClientSecret): (.*)$", template.text, re.MULTILINE)
    assert all("{{resolve:ssm-secure:" in value or "{{resolve:secretsmanager:" in value for value in secrets)
    assert not any("resolve:" in str(output["Value"]) for output in template.outputs.values())


def test_tags_in_metadata_have_keys_that_metadata_can_serve(template: Template) -> None:
    assert [key for key in re.findall(r"Key: ([^,}\n]+)", template.text) if re.search(r"[ /]", key)] == []
