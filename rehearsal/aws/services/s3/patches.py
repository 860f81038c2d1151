"""Corrections of moto's S3."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any

from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.models import FakeBucket, S3Backend

from rehearsal.aws.services.patching import Moto, Patch

SECURE_TRANSPORT = "aws:SecureTransport"


def _log_permissions_enabled_policy(_: Moto) -> Moto:
    def allows_log_delivery(target_bucket: FakeBucket, target_prefix: str | None) -> bool:
        """Return whether a bucket's policy lets S3 deliver access logs below the prefix."""
        resource = f"arn:aws:s3:::{target_bucket.name}/{target_prefix or ''}"
        policy = json.loads(target_bucket.policy) if target_bucket.policy else {"Statement": []}
        return any(
            statement["Principal"] == {"Service": "logging.s3.amazonaws.com"}
            and statement["Effect"] == "Allow"
            and fnmatchcase(resource, statement["Resource"])
            for statement in policy["Statement"]
        )

    return staticmethod(allows_log_delivery)


def _log_incoming_request(_: Moto) -> Moto:
    def deliver_nothing(self: S3Backend, request: Moto, bucket_name: str) -> None:
        """Write no access log: S3 delivers them within hours, and the emulation leaves them out."""

    return deliver_nothing


def _get_permission(_: Moto) -> Moto:
    def get_permission(self: FakeBucket, action: str, resource: str) -> PermissionResult:
        """Return what the statements of a bucket's policy say that apply to this request."""
        document = json.loads(self.policy) if self.policy else {"Statement": []}
        statements = document["Statement"]
        applying = [
            {name: item for name, item in statement.items() if name != "Condition"}
            for statement in (statements if isinstance(statements, list) else [statements])
            if applies(statement)
        ]
        return IAMPolicy(json.dumps({"Statement": applying})).is_action_permitted(action, resource)

    return get_permission


def applies(statement: dict[str, Any]) -> bool:
    """Return whether a statement of a bucket's policy applies to requests of roles and users.

    The endpoint of the emulated AWS stands for Amazon's, which its clients use with TLS. Of conditions no
    other key is known: a refusal that depends on one applies, and a permission does not.
    """
    principal = statement.get("Principal")
    if isinstance(principal, dict) and set(principal) == {"Service"}:
        return False
    refuses = statement["Effect"] == "Deny"
    return all(
        str(wanted).lower() == "true" if (operator, key) == ("Bool", SECURE_TRANSPORT) else refuses
        for operator, tested in statement.get("Condition", {}).items()
        for key, wanted in tested.items()
    )


PATCHES = (
    Patch(
        FakeBucket,
        "get_permission",
        _get_permission,
        upstream="moto/s3/models.py, FakeBucket.get_permission, and moto/iam/access_control.py, "
        "IAMPolicyStatement.is_action_permitted",
        problem="moto takes a statement whose condition does not hold, or whose principal is a service, for "
        "a refusal of every request; in AWS such a statement does not apply.",
    ),
    Patch(
        S3Backend,
        "log_incoming_request",
        _log_incoming_request,
        upstream="moto/s3/models.py, S3Backend.log_incoming_request",
        problem="moto writes an access log with each request, so that a bucket for logs can never be deleted "
        "when the creation of its stack fails; S3 delivers the first logs hours later.",
    ),
    Patch(
        FakeBucket,
        "_log_permissions_enabled_policy",
        _log_permissions_enabled_policy,
        upstream="moto/s3/models.py, FakeBucket._log_permissions_enabled_policy (added by "
        "https://github.com/getmoto/moto/pull/6715)",
        problem='moto fails with AttributeError on a statement with the principal "*", and does not match '
        "a resource that ends in a wildcard of its own.",
    ),
)
