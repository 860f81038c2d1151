"""Deletion protection: a creation that fails can be rolled back, and what was created is protected."""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]
PROTECTED = {"data", "edge", "public"}


def test_a_stack_is_created_unprotected_and_protected_afterwards() -> None:
    (block,) = yaml.safe_load((ROOT / "playbooks/tasks/deploy/apply.yml").read_text(encoding="utf-8"))
    made = [task for task in block["block"] if "amazon.aws.cloudformation" in task]
    first, second = (task["amazon.aws.cloudformation"]["template_parameters"] for task in made)
    assert first == "{{ airkiln_stack.all | combine({'DeletionProtection': 'false'}) }}"
    assert second == "{{ airkiln_stack.all }}"
    assert "'DeletionProtection' in __forms" in made[0]["when"]
    assert "stack.state in ['absent', 'remains']" in made[0]["when"]
    assert "when" not in made[1]


def test_what_is_protected_is_so_by_the_parameter_and_by_default() -> None:
    for path in (ROOT / "cloudformation").glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        assert ("DeletionProtection:" in text.partition("\nResources:")[0]) == (path.stem in PROTECTED)
        for line in text.partition("\nResources:")[2].splitlines():
            if "deletion_protection" in line.lower() or "DeletionProtection" in line:
                assert "!Ref DeletionProtection" in line, line
