"""What is pinned in more than one place is pinned to the same thing, and the tools are what the pins say."""

import re
import tomllib

import pytest

from .conftest import ROOT, Packer

PACKER_MODULE = "github.com/hashicorp/packer"
PLUGIN_MODULE = "github.com/hashicorp/packer-plugin-amazon"


def found(pattern: str, path: str) -> str:
    """Return what the pattern's one group matches in a file of the repository, or fail."""
    match = re.search(pattern, (ROOT / path).read_text(), re.MULTILINE)
    assert match is not None, f"{path} has no line that matches {pattern}"
    return match[1]


def locked(tool: str, module: str) -> str:
    """Return the version of a module that packer/tools/<tool>/go.mod pins."""
    return found(rf"^(?:\t|require ){re.escape(module)} v(\S+)", f"packer/tools/{tool}/go.mod")


def test_the_template_wants_the_plugin_that_the_tools_build() -> None:
    assert found(r'^ +version = "= ([0-9.]+)"$', "packer/plugins.pkr.hcl") == locked("amazon", PLUGIN_MODULE)


@pytest.mark.parametrize(("tool", "module"), [("packer", PACKER_MODULE), ("amazon", PLUGIN_MODULE)])
def test_a_module_is_verified_by_its_hash(tool: str, module: str) -> None:
    sums = (ROOT / f"packer/tools/{tool}/go.sum").read_text()
    assert re.search(rf"^{re.escape(module)} v{re.escape(locked(tool, module))} h1:\S+=$", sums, re.MULTILINE)


def test_the_installed_plugin_is_the_pinned_one(packer: Packer) -> None:
    installed = packer("plugins", "required", "packer/")
    assert installed.returncode == 0, installed.stderr
    assert "github.com/hashicorp/amazon" in installed.stdout
    assert f"packer-plugin-amazon_v{locked('amazon', PLUGIN_MODULE)}_x5" in installed.stdout


def test_packer_is_new_enough_and_no_pre_release(packer: Packer) -> None:
    version = re.match(r"Packer v(\d+)\.(\d+)\.(\d+)$", packer("version").stdout.strip(), re.MULTILINE)
    assert version is not None
    assert (int(version[1]), int(version[2])) >= (1, 14)


def test_the_image_is_named_by_the_versions_that_it_holds() -> None:
    pins = "packer/release.auto.pkrvars.hcl"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert found(r'^airkiln_version += "(.+)"$', pins) == project["version"]
    for platform in ("x86_64", "aarch64"):
        requirements = f"roles/airflow/files/requirements-{platform}.txt"
        assert found(r'^airflow_version += "(.+)"$', pins) == found(r"^apache-airflow==(\S+)", requirements)
