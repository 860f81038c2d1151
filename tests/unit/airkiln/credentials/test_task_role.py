"""When the task role's credentials are renewed, and what is handed out meanwhile."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airkiln.credentials.task_role import DURATION, RENEW_BEFORE, TaskRole

ARN = "arn:aws:iam::123456789012:role/tasks"
BOTOCORE_ASKS_AGAIN = 15 * 60
"""Seconds of life left (botocore.credentials.RefreshableCredentials._advisory_refresh_timeout)."""


class Sts:
    """STS and the clock."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)
        self.calls = 0
        self.away = False

    def assume(self) -> dict[str, Any]:
        self.calls += 1
        if self.away:
            raise ConnectionError
        expires = self.time + timedelta(seconds=DURATION)
        return {
            "AccessKeyId": f"key {self.calls}",
            "SecretAccessKey": "secret",
            "SessionToken": "token",
            "Expiration": expires,
        }

    def passes(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def sts() -> Sts:
    return Sts()


@pytest.fixture
def role(sts: Sts) -> TaskRole:
    return TaskRole(ARN, sts.assume, now=lambda: sts.time)


def test_there_are_none_before_the_role_is_assumed(role: TaskRole) -> None:
    assert role.document() is None
    assert role.due <= 0


def test_the_document_is_that_of_ecs(role: TaskRole) -> None:
    role.renew()
    assert json.loads(role.document() or "") == {
        "RoleArn": ARN,
        "AccessKeyId": "key 1",
        "SecretAccessKey": "secret",
        "Token": "token",
        "Expiration": "2026-01-01T01:00:00Z",
    }


def test_they_are_renewed_before_a_client_would_ask_again(role: TaskRole, sts: Sts) -> None:
    role.renew()
    assert role.due == DURATION - RENEW_BEFORE
    sts.passes(role.due)
    assert role.due <= 0
    assert RENEW_BEFORE > BOTOCORE_ASKS_AGAIN


def test_while_sts_is_away_the_old_ones_are_handed_out_until_they_expire(role: TaskRole, sts: Sts) -> None:
    role.renew()
    sts.away = True
    sts.passes(DURATION - 1)
    with pytest.raises(ConnectionError):
        role.renew()
    assert "key 1" in (role.document() or "")
    assert role.due < 0
    sts.passes(1)
    assert role.document() is None
    sts.away = False
    role.renew()
    assert "key 3" in (role.document() or "")


def test_a_representation_shows_no_secret(role: TaskRole) -> None:
    role.renew()
    assert "secret" not in repr(role)
