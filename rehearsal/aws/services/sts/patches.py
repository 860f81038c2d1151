"""Corrections of moto's STS."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from moto.iam.models import iam_backends
from moto.sts.exceptions import STSClientError
from moto.sts.models import STSBackend

from rehearsal.aws.services.patching import Moto, Patch


def _assume_role(original: Moto) -> Moto:
    def assume_role(self: Moto, **asked: Any) -> Moto:  # noqa: ANN401 - a request's data
        """Assume a role that exists and whose trust names somebody of the account, not only a service."""
        arn = str(asked["role_arn"])
        roles = iam_backends[self.account_id][self.partition].roles.values()
        trusted = any(role.arn == arn and _trusts_an_identity(role) for role in roles)
        if not trusted:
            raise STSClientError(
                "AccessDenied",
                f"User: arn:aws:iam::{self.account_id}:root is not authorized to perform: sts:AssumeRole "
                f"on resource: {arn}",
            )
        return original(self, **asked)

    return assume_role


def _trusts_an_identity(role: Moto) -> bool:
    document = json.loads(unquote(role.assume_role_policy_document))
    statements = document.get("Statement", [])
    return any(
        statement["Effect"] == "Allow" and "AWS" in statement.get("Principal", {}) for statement in statements
    )


PATCHES = (
    Patch(
        STSBackend,
        "assume_role",
        _assume_role,
        upstream="moto/sts/models.py, STSBackend.assume_role",
        problem="moto lends a role that does not exist, or that trusts a service only. AWS refuses both.",
    ),
)
