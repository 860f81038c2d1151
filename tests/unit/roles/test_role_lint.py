"""That `make lint` asks ansible-lint for everything, and that no task gets around it."""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]


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
