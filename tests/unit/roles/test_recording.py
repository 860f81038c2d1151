"""Auditing and file integrity: off unless a bake asks for them, and then as the variables say."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from airkiln.roles import ROLES as HOST_ROLES
from tests.unit.roles.rendering import ROLES, render, variables

SERVICE = "airkiln-file-integrity.service"


def tasks(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((ROLES / f"base/tasks/{name}.yml").read_text("utf-8"))
    return found


@pytest.mark.parametrize(
    ("part", "variable"), [("audit", "base_audit_enabled"), ("file_integrity", "base_file_integrity_enabled")]
)
def test_the_image_has_neither_unless_a_bake_asks(part: str, variable: str) -> None:
    assert variables("base")[variable] is False
    (imported,) = [task for task in tasks("main") if task["ansible.builtin.import_tasks"] == f"{part}.yml"]
    assert imported["when"] == variable
    assert not {"auditd", "aide"} & {*variables("base")["base_packages"]}


def test_a_bake_starts_neither() -> None:
    (installed,) = [task["ansible.builtin.apt"] for task in tasks("audit") if "ansible.builtin.apt" in task]
    assert installed["policy_rc_d"] == 101
    modules = {module for part in ("audit", "file_integrity") for task in tasks(part) for module in task}
    assert "ansible.builtin.systemd_service" not in modules


def test_the_rules_stand_between_the_reset_and_the_lock() -> None:
    lines = render("base", "/etc/audit/rules.d/60-airkiln.rules", base_audit_rules=["-w /a -p wa"])
    rules = [line for line in lines.splitlines() if line and line[0] == "-"]
    assert rules == ["-D", "-b 8192", "-i", "-w /a -p wa", "-e 2"]


@pytest.mark.parametrize("rule", variables("base")["base_audit_rules"])
def test_a_rule_has_a_key_and_records_no_command_of_a_task(rule: str) -> None:
    assert re.search(r" -k [a-z]+$", rule)
    watched = rule.startswith("-w /") and " -p wa " in rule
    assert watched or rule.startswith("-a always,exit -F arch=b64 -S ")
    assert "execve" not in rule or "-F euid=0" in rule


def test_what_is_compared_is_what_the_variables_say() -> None:
    lines = render(
        "base",
        "/etc/aide/airkiln.conf",
        base_file_integrity_paths=["/a"],
        base_file_integrity_excluded=["/a/b"],
    ).splitlines()
    assert {"/a Watched", "!/a/b"} <= set(lines)
    assert [line for line in lines if line.startswith(("/", "!"))] == ["!/a/b", "/a Watched"]
    assert "database_in=file:/var/lib/airkiln-file-integrity/aide.db" in lines
    assert "StateDirectory=airkiln-file-integrity" in render("base", SERVICE).splitlines()


def test_nothing_that_tasks_may_write_is_compared() -> None:
    paths = variables("base")["base_file_integrity_paths"]
    assert [
        path for path in paths if path.startswith(("/var", "/run", "/srv/airflow/dags", "/srv/efs"))
    ] == []
    assert "/srv" not in paths


def test_the_timer_starts_with_every_role_that_stays() -> None:
    (written,) = [task["loop"] for task in tasks("file_integrity") if "drop-ins" in task["name"]]
    assert sorted(written) == sorted(f"airkiln-{role}.target" for role in HOST_ROLES if role != "database")
    drop_in = render("base", "airkiln-role.target.d/40-file-integrity.conf")
    assert "Wants=airkiln-file-integrity.timer" in drop_in.splitlines()
    timer = render("base", "airkiln-file-integrity.timer").splitlines()
    assert {"OnBootSec=15min", "OnUnitActiveSec=1d"} <= set(timer)
