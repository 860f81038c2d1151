"""The plug-ins beside the playbooks are thin, documented, and found by Ansible."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PLAYBOOKS = ROOT / "playbooks"
MODULES = sorted(path.stem for path in (PLAYBOOKS / "library").glob("*.py"))
TOOLS = Path(sys.executable).parent


@pytest.fixture(scope="module")
def documented() -> dict[str, Any]:
    command = ["--type", "module", "--json", "--module-path", "playbooks/library", *MODULES]
    done = subprocess.run(
        [TOOLS / "ansible-doc", *command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("module", MODULES)
def test_every_module_documents_options_examples_and_results(documented: dict[str, Any], module: str) -> None:
    found = documented[module]
    assert found["doc"]["options"]
    assert f"{module}:" in found["examples"]
    assert "return" in found


@pytest.mark.parametrize("module", MODULES)
def test_a_modules_documentation_has_every_option(documented: dict[str, Any], module: str) -> None:
    text = (PLAYBOOKS / f"library/{module}.py").read_text(encoding="utf-8")
    taken = set(re.findall(r'"(\w+)": \{"type"', text))
    assert taken
    assert taken <= set(documented[module]["doc"]["options"])


def test_every_filter_that_a_playbook_uses_exists() -> None:
    texts = [path.read_text(encoding="utf-8") for path in PLAYBOOKS.rglob("*.yml")]
    used = {name for text in texts for name in re.findall(r"\|\s*(airkiln_\w+)", text)}
    script = "import airkiln_filters; print(*airkiln_filters.FilterModule().filters())"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(PLAYBOOKS / "filter_plugins")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert used == set(done.stdout.split())


@pytest.mark.parametrize("playbook", ["deploy", "destroy"])
def test_a_module_finds_its_package_where_it_is_not_installed(playbook: str) -> None:
    """Ansible ships a module alone; PYTHONPATH of the play leads it to src."""
    text = (PLAYBOOKS / f"{playbook}.yml").read_text(encoding="utf-8")
    assert 'PYTHONPATH: "{{ playbook_dir }}/../src"' in text
    script = "import airkiln_deploy; print(airkiln_deploy.__file__)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        env={"PYTHONPATH": f"{PLAYBOOKS}/../src"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()).is_relative_to(ROOT / "src")


def test_no_instance_gets_what_belongs_to_the_playbooks() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["src/airkiln"]
