"""Corrections of moto's S3."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase

from moto.s3.models import FakeBucket, S3Backend

from rehearsal.aws.services.patching import Moto, Patch


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


PATCHES = (
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
