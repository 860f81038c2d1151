"""The filters of the playbooks. What they do is in src/airkiln_deploy, where it is tested."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

SOURCES = str(Path(__file__).resolve().parents[2] / "src")
if SOURCES not in sys.path:  # it is there already in .venv, where this repository is installed
    sys.path.append(SOURCES)

from airkiln_deploy import plan, pools, settings, stacks, tags, template, unchanged  # noqa: E402 - needs the path above


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {
            "airkiln_change_set": stacks.change_set,
            "airkiln_stacks_to_delete": stacks.to_delete,
            "airkiln_expected_outputs": template.expected_outputs,
            "airkiln_infra": stacks.infra,
            "airkiln_remaining_outputs": stacks.remaining_outputs,
            "airkiln_made": template.made,
            "airkiln_name_problem": plan.name_problem,
            "airkiln_plan": plan.plan,
            "airkiln_all_slots": pools.all_slots,
            "airkiln_pool_problems": pools.problems,
            "airkiln_pool_settings": pools.settings,
            "airkiln_reasons": stacks.reasons,
            "airkiln_refusals": template.refusals,
            "airkiln_setting_problems": settings.problems,
            "airkiln_settings_in_force": settings.in_force,
            "airkiln_stack_parameters": plan.parameters,
            "airkiln_tag_problems": tags.problems,
            "airkiln_templates": template.templates,
            "airkiln_unchanged": unchanged.unchanged,
        }
