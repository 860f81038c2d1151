"""Corrections of moto's STS."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from moto.core.responses import BaseResponse
from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends
from moto.sts.exceptions import STSClientError
from moto.sts.models import sts_backends
from moto.sts.responses import TokenResponse

from rehearsal.aws.account import instance_access_key
from rehearsal.aws.services.patching import Moto, Patch
from rehearsal.aws.services.sts.trust import Caller, may_assume

CHAINED = 3600
"""Most seconds of a role that is assumed with a role's credentials (STS's limit of role chaining)."""


def _assume_role(original: Moto) -> Moto:
    def assume_role(self: Moto) -> Moto:
        """Assume a role that exists and whose trust admits whoever asks."""
        arn = str(self._get_param("RoleArn"))
        caller = caller_of(self.access_key, self.current_account, self.partition)
        roles = iam_backends[self.current_account][self.partition].roles.values()
        wanted = next((role for role in roles if role.arn == arn), None)
        admitted = wanted is not None and may_assume(
            caller, arn, document(wanted.assume_role_policy_document), self.current_account
        )
        if not admitted:
            raise STSClientError(
                "AccessDenied",
                f"User: {caller.arn} is not authorized to perform: sts:AssumeRole on resource: {arn}",
            )
        if caller.role and self._get_int_param("DurationSeconds", CHAINED) > CHAINED:
            raise STSClientError(
                "ValidationError",
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role "
                "chaining",
            )
        return original(self)

    return assume_role


def caller_of(access_key: str, account: str, partition: str) -> Caller:
    """Whose access key this is: an instance's, an assumed role's, or that of the account's administrator.

    moto calls everybody an administrator whose key has not the form of AWS's, as the rehearsal's own has not.

    :raises STSClientError: the key has that form and is nobody's.
    """
    assumed = sts_backends[account][partition].get_assumed_role_from_access_key(access_key)
    if assumed is not None:
        return _as_role(assumed.role_arn, assumed.session_name, account, partition)
    for ec2 in ec2_backends[account].values():
        for instance_id, association in ec2.iam_instance_profile_associations.items():
            if access_key == instance_access_key(instance_id) and association.iam_instance_profile.roles:
                (role,) = association.iam_instance_profile.roles
                return _as_role(role.arn, instance_id, account, partition)
    if BaseResponse.access_key_regex.search(f"AWS {access_key}:"):
        raise STSClientError("InvalidClientTokenId", "The security token included in the request is invalid.")
    return Caller(f"arn:{partition}:iam::{account}:user/administrator", None)


def _as_role(arn: str, session: str, account: str, partition: str) -> Caller:
    name = arn.rpartition("/")[2]
    iam = iam_backends[account][partition]
    found = [role for role in iam.roles.values() if role.arn == arn]
    inline = [document(text) for role in found for text in role.policies.values()]
    attached = [
        document(version.document)
        for role in found
        for policy in role.managed_policies.values()
        for version in policy.versions
        if version.is_default
    ]
    return Caller(f"arn:{partition}:sts::{account}:assumed-role/{name}/{session}", arn, (*inline, *attached))


def document(text: Any) -> dict[str, Any]:  # noqa: ANN401 - as moto has stored it
    """A policy as moto keeps it: text, which may be URL-encoded, or the document itself."""
    found: dict[str, Any] = text if isinstance(text, dict) else json.loads(unquote(text))
    return found


PATCHES = (
    Patch(
        TokenResponse,
        "assume_role",
        _assume_role,
        upstream="moto/sts/responses.py, TokenResponse.assume_role",
        problem="moto lends anybody any role, also one that does not exist. AWS asks who calls, and the "
        "role's trust policy whether it admits them.",
    ),
)
