"""The assumed task role: when its credentials are renewed, and what is handed out in the meantime."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

DURATION = 3600
"""Seconds. A role that assumes another gets an hour at most:
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining"""
RENEW_BEFORE = 1800
"""Seconds before they expire. botocore asks again with 15 minutes left (botocore.credentials), so that what
it is given must last longer than that, also where STS is away for a while."""
RETRY = 10.0
"""Seconds after a renewal that failed."""

Assume = Callable[[], Mapping[str, Any]]
"""Calls sts:AssumeRole and returns its `Credentials`."""


@dataclass
class TaskRole:
    """The role's credentials, renewed by `renew` and read by `document` in another thread.

    :param arn: of the role.
    :param assume: asks STS; what it raises goes to the caller of `renew`.
    :param now: the time in UTC.
    """

    arn: str
    assume: Assume
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _document: str | None = field(default=None, repr=False)
    _expires: datetime | None = None

    @property
    def due(self) -> float:
        """Seconds until the credentials should be renewed; 0 or less: now."""
        if self._expires is None:
            return 0.0
        return (self._expires - self.now()).total_seconds() - RENEW_BEFORE

    def renew(self) -> None:
        """Ask STS for new credentials. If that fails, the old ones are handed out until they expire."""
        found = self.assume()
        expires: datetime = found["Expiration"]
        document = {
            "RoleArn": self.arn,
            "AccessKeyId": found["AccessKeyId"],
            "SecretAccessKey": found["SecretAccessKey"],
            "Token": found["SessionToken"],
            "Expiration": expires.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        self._document, self._expires = json.dumps(document), expires

    def document(self) -> str | None:
        """The credentials as AWS's SDKs read them; None while there are none that are valid."""
        document, expires = self._document, self._expires
        return document if expires is not None and self.now() < expires else None
