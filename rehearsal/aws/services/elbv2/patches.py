"""Corrections of moto's Elastic Load Balancing."""

from __future__ import annotations

import re
from typing import Any

from moto.elbv2.exceptions import ELBClientError
from moto.elbv2.models import ELBv2Backend
from moto.elbv2.ssl_policies import SSL_POLICIES

from rehearsal.aws.services.patching import Moto, Patch

LONGEST_REGEX = 128
"""Characters of a regular expression in a condition
(https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_PathPatternConditionConfig.html)."""

_VALUES = (
    (r".*\.enabled", r"true|false"),
    (r"routing\.http\.xff_header_processing\.mode", r"append|preserve|remove"),
    (r"routing\.http\.desync_mitigation_mode", r"monitor|defensive|strictest"),
    (r"idle_timeout\.timeout_seconds", r"[1-9]\d{0,2}|[1-3]\d{3}|4000"),
)
"""Which values an attribute takes
(https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_LoadBalancerAttribute.html)."""


def _validate_path_pattern_condition(original: Moto) -> Moto:
    def validate(self: ELBv2Backend, condition: dict[str, Any]) -> None:
        """Refuse a path condition that has neither values nor regular expressions, or too long ones."""
        expressions = condition.get("PathPatternConfig", {}).get("RegexValues")
        if not expressions:
            original(self, condition)
        elif max(map(len, expressions)) > LONGEST_REGEX:
            raise ELBClientError(
                "ValidationError", f"Condition value is too long: at most {LONGEST_REGEX} characters"
            )

    return validate


def _create_listener(original: Moto) -> Moto:
    def create(self: ELBv2Backend, *args: Any, **given: Any) -> Moto:  # noqa: ANN401
        """Refuse a security policy that does not exist."""
        policy = given.get("ssl_policy")
        if policy is not None and policy not in SSL_POLICIES:
            raise ELBClientError("SSLPolicyNotFound", f"SSL policy '{policy}' not found")
        return original(self, *args, **given)

    return create


def _modify_load_balancer_attributes(original: Moto) -> Moto:
    def modify(self: ELBv2Backend, arn: str, attrs: dict[str, str]) -> Moto:
        """Refuse a value that the attribute does not take."""
        for key, value in attrs.items():
            for keys, values in _VALUES:
                if re.fullmatch(keys, key) and not re.fullmatch(values, value):
                    raise ELBClientError(
                        "InvalidConfigurationRequest",
                        f"Load balancer attribute '{key}' does not take the value '{value}'",
                    )
        return original(self, arn, attrs)

    return modify


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
        "create_listener",
        _create_listener,
        upstream="moto/elbv2/models.py, ELBv2Backend.create_listener",
        problem="moto creates a listener with any security policy; AWS knows its own only.",
    ),
    Patch(
        ELBv2Backend,
        "modify_load_balancer_attributes",
        _modify_load_balancer_attributes,
        upstream="moto/elbv2/models.py, ELBv2Backend.modify_load_balancer_attributes",
        problem="moto takes any value of an attribute, such as one of X-Forwarded-For; AWS checks them.",
    ),
    Patch(
        ELBv2Backend,
        "_validate_path_pattern_condition",
        _validate_path_pattern_condition,
        upstream="moto/elbv2/models.py, ELBv2Backend._validate_path_pattern_condition",
        problem="moto fails with KeyError on a path condition by RegexValues, which AWS accepts.",
    ),
)
