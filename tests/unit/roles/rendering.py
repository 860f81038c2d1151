"""Templates of roles as a bake renders them, without a host: Jinja with Ansible's filters and block rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import yaml
from ansible.plugins.filter.core import FilterModule

ROLES = Path(__file__).parents[3] / "roles"
FILTERS = ("comment", "regex_replace")
"""Ansible's filters in these templates; the others are Jinja's."""


def variables(role: str, **given: object) -> dict[str, Any]:
    """The role's defaults and private variables, with those of the role airflow, and `given` on top."""
    found: dict[str, Any] = {"ansible_managed": "Ansible managed"}
    for name in ("airflow", role):
        for part in ("defaults", "vars"):
            path = ROLES / name / part / "main.yml"
            if path.exists():
                found |= yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return found | given


def render(role: str, template: str, **given: object) -> str:
    """One template below the role's templates/etc/systemd/system, or with a leading / below templates.

    Variables of the template that are templates themselves are rendered first, once.
    """
    environment = jinja2.Environment(
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,
    )
    environment.filters |= {name: FilterModule().filters()[name] for name in FILTERS}
    found = variables(role, **given)
    path = template.lstrip("/") if template.startswith("/") else f"etc/systemd/system/{template}"
    text = (ROLES / role / "templates" / f"{path}.j2").read_text(encoding="utf-8")
    for name, value in found.items():
        if name in text and isinstance(value, str) and "{{" in value:
            found[name] = environment.from_string(value).render(found)
    return environment.from_string(text).render(found)
