"""The template is well-formed, refuses what it must refuse, and says what each of its variables is."""

import re
from pathlib import Path

import pytest

from .conftest import ROOT, Packer

TEMPLATE = ROOT / "packer"


def blocks(path: Path) -> dict[str, str]:
    """Return the body of each variable block of an HCL file in `packer fmt`'s form, by name."""
    return dict(re.findall(r'^variable "(\w+)" \{\n(.*?)^\}$', path.read_text(), re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_the_template_is_valid_for(packer: Packer, architecture: str) -> None:
    result = packer("validate", "-var", f"architecture={architecture}", "packer/")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_template_has_the_form_that_packer_fmt_gives(packer: Packer) -> None:
    result = packer("fmt", "-check", "-diff", "packer/")
    assert result.returncode == 0, result.stdout


BAD_VALUES = {
    "architecture": ("x86_64", "neither amd64 nor arm64"),
    "ssh_source_cidrs": ('["0.0.0.0/0"]', "or is the whole Internet"),
    "ssh_interface": ("public_dns", "none of public_ip, private_ip and session_manager"),
    "commit": ("main", "neither a Git hash"),
    "airkiln_version": ("latest", "not a release number"),
    "airflow_version": ("2.11.0", "not a release of Airflow 3"),
    "source_ami_owner": ("amazon", "not a twelve-digit"),
    "volume_size": ("4", "not from 8 to 1024"),
    "poll_seconds": ("0", "not from 1 to 60"),
    "deprecate_after_days": ("0", "not from 1 to 3650"),
    "tags": ('{"airkiln:role"="all"}', "begins with airkiln:"),
}


@pytest.fixture(scope="module")
def complaints(packer: Packer) -> str:
    """What packer says when every variable that has a rule breaks it."""
    settings = [part for name, (value, _) in BAD_VALUES.items() for part in ("-var", f"{name}={value}")]
    result = packer("validate", *settings, "packer/")
    assert result.returncode != 0
    return " ".join((result.stdout + result.stderr).split())


@pytest.mark.parametrize("name", BAD_VALUES)
def test_a_bad_value_is_refused_with_a_reason(complaints: str, name: str) -> None:
    assert BAD_VALUES[name][1] in complaints


def test_every_rule_is_tried() -> None:
    variables = blocks(TEMPLATE / "variables.pkr.hcl")
    assert {name for name, body in variables.items() if "validation {" in body} == set(BAD_VALUES)


def test_every_variable_has_a_type_and_a_description() -> None:
    variables = blocks(TEMPLATE / "variables.pkr.hcl")
    assert len(variables) == (TEMPLATE / "variables.pkr.hcl").read_text().count('variable "')
    bare = [
        name
        for name, body in variables.items()
        if not re.search(r"^  type +=", body, re.MULTILINE)
        or not re.search(r'^  description = ".{20,}"$', body, re.MULTILINE)
    ]
    assert bare == []


def test_every_variable_is_used() -> None:
    used = (TEMPLATE / "airflow.pkr.hcl").read_text()
    unused = [name for name in blocks(TEMPLATE / "variables.pkr.hcl") if f"var.{name}" not in used]
    assert unused == []


def test_every_pin_and_nothing_else_is_in_the_release_file() -> None:
    pinned = set(re.findall(r"^(\w+) *=", (TEMPLATE / "release.auto.pkrvars.hcl").read_text(), re.MULTILINE))
    without_default = {
        name
        for name, body in blocks(TEMPLATE / "variables.pkr.hcl").items()
        if not re.search(r"^  default +=", body, re.MULTILINE)
    }
    assert pinned == without_default


def test_the_script_with_the_temporary_key_removes_itself_before_anything_else() -> None:
    text = (ROOT / "packer/airflow.pkr.hcl").read_text(encoding="utf-8")
    (block,) = (part for part in text.split("provisioner ") if "build.SSHPrivateKey" in part)
    inline = block[block.index("inline = [") :].splitlines()
    assert inline[1].strip() == r'"rm -f -- \"$0\"",'


def test_the_playbook_gets_the_version_that_names_the_image() -> None:
    text = (ROOT / "packer/airflow.pkr.hcl").read_text(encoding="utf-8")
    facts = text[text.index("AIRKILN_EXTRA_VARS") : text.index("inline = [")]
    assert re.search(r"airflow_version += var\.airflow_version\n", facts)
