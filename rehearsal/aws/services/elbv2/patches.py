"""Corrections of moto's Elastic Load Balancing."""

from __future__ import annotations

from typing import Any

from moto.elbv2.exceptions import ELBClientError
from moto.elbv2.models import ELBv2Backend

from rehearsal.aws.services.patching import Moto, Patch


def _validate_path_pattern_condition(original: Moto) -> Moto:
    def validate(self: ELBv2Backend, condition: dict[str, Any]) -> None:
        """Refuse a path condition that has neither values nor regular expressions."""
        if not condition.get("PathPatternConfig", {}).get("RegexValues"):
            original(self, condition)

    return validate


def _delete_load_balancer(original: Moto) -> Moto:
    def delete(self: ELBv2Backend, arn: str) -> None:
        """Refuse to delete a load balancer whose deletion protection is on."""
        found = self.load_balancers.get(arn)
        if found is not None and found.attrs.get("deletion_protection.enabled") == "true":
            raise ELBClientError(
                "OperationNotPermitted",
                f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled",
            )
        original(self, arn)

    return delete


PATCHES = (
    Patch(
        ELBv2Backend,
        "delete_load_balancer",
        _delete_load_balancer,
        upstream="moto/elbv2/models.py, ELBv2Backend.delete_load_balancer",
        problem="moto deletes a load balancer whose deletion protection is on; AWS refuses.",
    ),
    Patch(
        ELBv2Backend,
        "_validate_path_pattern_condition",
        _validate_path_pattern_condition,
        upstream="moto/elbv2/models.py, ELBv2Backend._validate_path_pattern_condition",
        problem="moto fails with KeyError on a path condition by RegexValues, which AWS accepts.",
    ),
)
