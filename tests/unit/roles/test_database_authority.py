"""An image without the authorities of its database cannot be baked by accident."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.unit.roles.rendering import ROLES

ROLE = ROLES / "database_authority"


def tasks(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((ROLE / f"tasks/{name}.yml").read_text(encoding="utf-8"))
    return found


def test_the_certificates_are_installed_unless_somebody_says_otherwise() -> None:
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8"))
    assert defaults["database_authority_install"] is True
    (install,) = [task for task in tasks("main") if task["ansible.builtin.import_tasks"] == "install.yml"]
    (check,) = tasks("preflight")
    assert install["when"] == check["when"] == "database_authority_install"


def test_without_a_checksum_the_bake_fails_and_says_what_to_do() -> None:
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8"))
    (check,) = tasks("preflight")
    (pattern,) = re.findall(r"is match\('(.+)'\)", check["ansible.builtin.assert"]["that"])
    assert not re.match(pattern, defaults["database_authority_sha256"])
    assert re.match(pattern, "0" * 64)
    for words in ("sha256sum", "{{ database_authority_url }}", "database_authority_install: false"):
        assert words in check["ansible.builtin.assert"]["fail_msg"]
