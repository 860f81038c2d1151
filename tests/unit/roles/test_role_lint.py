"""What ansible-lint and yamllint say, with nothing skipped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
TOOLS = Path(sys.executable).parent
YAML = ["roles", "playbooks", "inventory", "molecule", ".ansible-lint", ".yamllint", ".aar_doc.yml"]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{TOOLS}:{os.environ['PATH']}", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)


def test_ansible_lint_uses_its_strictest_profile_and_skips_nothing() -> None:
    settings = yaml.safe_load((ROOT / ".ansible-lint").read_text(encoding="utf-8"))
    assert (settings["profile"], settings["skip_list"]) == ("production", [])
    assert "warn_list" not in settings


def test_no_task_is_excused_from_a_rule() -> None:
    excused = [
        str(path.relative_to(ROOT))
        for folder in ("roles", "playbooks", "molecule")
        for path in (ROOT / folder).rglob("*.yml")
        if "noqa" in path.read_text(encoding="utf-8")
    ]
    assert excused == []


def test_yamllint_is_content() -> None:
    finished = run("yamllint", "--strict", *[name for name in YAML if (ROOT / name).exists()])
    assert finished.returncode == 0, finished.stdout


@pytest.mark.timeout(300)
def test_ansible_lint_is_content() -> None:
    finished = run("ansible-lint", "--offline", "--nocolor", "-q", "roles", "playbooks", "molecule")
    assert finished.returncode == 0, finished.stdout + finished.stderr
