"""Decides who may assume a role, as AWS does it inside one account.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html: the trust policy names the caller,
or it names the account and an identity-based policy allows the caller the call. A Deny refuses in either
case.

Left out: conditions (a statement that has one allows nothing here), permissions boundaries, other accounts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

ACTION = "sts:AssumeRole"
Statement: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Caller:
    """Who asks: a role by its ARN, or an administrator of the account."""

    arn: str
    """As an error message names the caller."""
    role: str | None
    """ARN of the role whose credentials the caller has. None is an administrator."""
    policies: tuple[Mapping[str, Any], ...] = ()
    """The identity-based policies of the role."""


def may_assume(caller: Caller, role: str, trust: Mapping[str, Any], account: str) -> bool:
    """Whether the caller may assume a role.

    :param role: the role's ARN.
    :param trust: its trust policy.
    """
    own = list(_about(_listed(trust.get("Statement", [])), role))
    granted = [each for policy in caller.policies for each in _about(_listed(policy["Statement"]), role)]
    whole = f"arn:aws:iam::{account}:root"
    themselves = {caller.role} if caller.role else set()
    anybody = themselves | {whole, account, "*"}
    denied = any(each["Effect"] == "Deny" for each in granted) or any(
        each["Effect"] == "Deny" and _principals(each) & anybody for each in own
    )
    if denied:
        return False
    allowing = [_principals(each) for each in own if each["Effect"] == "Allow" and "Condition" not in each]
    if any(named & (themselves | {"*"}) for named in allowing):
        return True
    identity = caller.role is None or any(
        each["Effect"] == "Allow" and "Condition" not in each for each in granted
    )
    return identity and any(named & {whole, account} for named in allowing)


def _about(statements: Iterable[Statement], role: str) -> Iterable[Statement]:
    """The statements that speak of assuming this role. A trust policy has no resource: it is the role's."""
    for statement in statements:
        actions = _listed(statement.get("Action", []))
        resources = _listed(statement.get("Resource", "*"))
        if any(fnmatchcase(ACTION, each) for each in actions) and any(
            fnmatchcase(role, each) for each in resources
        ):
            yield statement


def _principals(statement: Statement) -> set[str]:
    """The identities that a trust policy's statement names; services are none."""
    named = statement.get("Principal", {})
    return {"*"} if named == "*" else set(_listed(named.get("AWS", [])))


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 - JSON
    return value if isinstance(value, list) else [value]
