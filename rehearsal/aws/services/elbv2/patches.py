"""Corrections of moto's Elastic Load Balancing."""

from __future__ import annotations

from typing import Any

from moto.elbv2.models import ELBv2Backend

from rehearsal.aws.services.patching import Moto, Patch


def _validate_path_pattern_condition(original: Moto) -> Moto:
    def validate(self: ELBv2Backend, condition: dict[str, Any]) -> None:
        """Refuse a path condition that has neither values nor regular expressions."""
        if not condition.get("PathPatternConfig", {}).get("RegexValues"):
            original(self, condition)

    return validate


PATCHES = (
    Patch(
        ELBv2Backend,
        "_validate_path_pattern_condition",
        _validate_path_pattern_condition,
        upstream="moto/elbv2/models.py, ELBv2Backend._validate_path_pattern_condition",
        problem="moto fails with KeyError on a path condition by RegexValues, which AWS accepts.",
    ),
)
