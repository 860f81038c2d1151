"""Four tools that know AWS read every template.

A finding is mended, or passed over beside the resource with a reason.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rehearsal.aws.services.cloudformation.template import Json
from tests.stacks.static.conftest import GUARD, tool
from tests.stacks.static.statements import policies
from tests.stacks.static.template import EVERYTHING, FOLDER, NAMES, Template

REGIONS = ("eu-west-1", "us-east-1", "ap-southeast-2")
Finding = tuple[str, str, str]
"""Template, resource, rule."""

KNOWN_BETTER = {
    # Asked for by the Systems Manager guide, "Enforce a session document permission check".
    "Unknown condition ssm:SessionDocumentAccessCheck for action ssm:StartSession",
    # A command needs its document and its instances, and only the instances have the condition.
    "{'action': 'ssm:SendCommand', 'required_format': 'arn:*:ssm:*:*:document/*'}",
}
"""Findings of parliament that AWS's own documentation contradicts."""


def run(*command: str, given: str = "") -> str:
    """Standard output of a tool, whatever it found."""
    done = subprocess.run(command, capture_output=True, text=True, input=given, timeout=300, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def skips(tool_name: str) -> dict[Finding, str]:
    """What is passed over in the templates' Metadata, with the reasons."""
    return {
        (name, resource, skip["id"]): skip["comment"]
        for name in NAMES
        for resource, body in Template(name).resources.items()
        for skip in body.get("Metadata", {}).get(tool_name, {}).get("skip", [])
    }


def test_cfn_lint_finds_nothing_in_three_regions() -> None:
    paths = [str(path) for path in sorted(FOLDER.glob("*.yaml"))]
    found = run(tool("cfn-lint"), "--regions", *REGIONS, "--format", "json", "--", *paths)
    matches = [
        f"{m['Filename']}:{m['Location']['Start']['LineNumber']}: {m['Message']}"
        for m in json.loads(found or "[]")
    ]
    assert matches == []


def test_what_cfn_lint_passes_over_has_a_reason() -> None:
    lines = [line for name in NAMES for line in Template(name).text.splitlines() if "ignore_checks" in line]
    assert lines
    assert all(re.search(r"# \S.{20,}", line) for line in lines)


def test_checkov_finds_nothing_but_what_is_passed_over_with_a_reason() -> None:
    output = run(
        tool("checkov"), "--directory", str(FOLDER), "--framework", "cloudformation",
        "--skip-download", "--compact", "--output", "json",
    )  # fmt: skip
    report = json.loads(output)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 200
    assert [
        f"{c['file_path']} {c['resource']} {c['check_id']}" for c in report["results"]["failed_checks"]
    ] == []
    passed_over = {
        (Path(c["file_path"]).stem, c["resource"].rpartition(".")[2], c["check_id"])
        for c in report["results"].get("skipped_checks", [])
    }
    assert passed_over == set(skips("checkov"))
    assert all(len(reason) > 20 for reason in skips("checkov").values())


@pytest.fixture(scope="module")
def control_tower(tmp_path_factory: pytest.TempPathFactory) -> set[Finding]:
    """What the Control Tower rules find in the templates as they are deployed with everything switched on."""
    machine = {"x86_64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}[platform.machine()]
    system = {"Linux": "ubuntu", "Darwin": "macos"}[platform.system()]
    binary = GUARD / "bin" / system / machine / "cfn-guard"
    assert binary.exists(), f"{binary} is missing: make stacks-tools"
    folder = tmp_path_factory.mktemp("deployed")
    for name in NAMES:
        resources = {
            key: for_guard(value)
            for key, value in Template(name).deployed(**EVERYTHING.get(name, {})).items()
        }
        body = {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}
        (folder / f"{name}.json").write_text(json.dumps(body), encoding="utf-8")
    output = run(
        str(binary), "validate", "--rules", str(GUARD / "rules" / "control-tower" / "cfn-guard"),
        "--data", str(folder), "--structured", "--output-format", "json", "--show-summary", "none",
    )  # fmt: skip
    reports = json.loads(output)
    assert {Path(report["name"]).stem for report in reports} == set(NAMES)
    return {
        (Path(report["name"]).stem, resource, failure["Rule"]["name"])
        for report in reports
        for failure in report["not_compliant"]
        for resource in blamed(failure)
    }


def for_guard(resource: dict[str, Any]) -> dict[str, Any]:
    """With truth values and numbers as such: as parameters they are text, which the rules do not take."""

    def typed(value: Json) -> Json:
        if value in ("true", "false"):
            return value == "true"
        return int(value) if isinstance(value, str) and value.isdigit() else value

    properties = {key: typed(value) for key, value in resource.get("Properties", {}).items()}
    return {**resource, "Properties": properties}


def blamed(value: Json) -> Iterator[str]:
    """The resources that a report names."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "path" and isinstance(item, str) and item.startswith("/Resources/"):
                yield item.split("/")[2]
            yield from blamed(item)
    elif isinstance(value, list):
        for item in value:
            yield from blamed(item)


def test_the_control_tower_rules_find_nothing_but_what_is_passed_over_with_a_reason(
    control_tower: set[Finding],
) -> None:
    assert control_tower == set(skips("guard"))
    assert all(len(reason) > 20 for reason in skips("guard").values())


def test_parliament_finds_nothing() -> None:
    read = [
        (name, owner, kind, document)
        for name in NAMES
        for owner, kind, document in policies(name)
        if kind != "AssumeRolePolicyDocument"
    ]
    assert len(read) > 30
    output = run(
        tool("python"), str(Path(__file__).parents[1] / "tools" / "read_policies.py"),
        given=json.dumps([document for *_, document in read]),
    )  # fmt: skip
    findings = [
        f"{name} {owner}: {finding}"
        for (name, owner, kind, _), found in zip(read, json.loads(output), strict=True)
        for finding in found
        if kind == "identity"
        or not finding.startswith("RESOURCE_STAR")  # a resource's own policy is about itself
    ]
    unexpected = [f for f in findings if not any(known in f for known in KNOWN_BETTER)]
    assert unexpected == []
    assert [known for known in KNOWN_BETTER if not any(known in f for f in findings)] == []
