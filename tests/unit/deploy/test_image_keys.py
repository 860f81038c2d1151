"""An image that no group could launch is named before anything is created."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airkiln_deploy import image_keys

ROLE = image_keys.role("aws", "123456789012")
KEY = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
ROOT = {
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
    "Action": "kms:*",
    "Resource": "*",
}
IMAGE = {"BlockDeviceMappings": [{"Ebs": {"SnapshotId": "snap-1", "Encrypted": True}}, {"VirtualName": "x"}]}


class Aws:
    """EC2's snapshots and one key of KMS."""

    def __init__(self, statements: list[dict[str, Any]], *, manager: str = "CUSTOMER") -> None:
        self.statements = statements
        self.manager = manager
        self.grants: list[dict[str, Any]] = []
        self.error: ClientError | None = None

    def describe_snapshots(self, SnapshotIds: list[str]) -> dict[str, Any]:  # noqa: N803 - boto's
        assert SnapshotIds == ["snap-1"]
        return {"Snapshots": [{"KmsKeyId": KEY}]}

    def describe_key(self, KeyId: str) -> dict[str, Any]:  # noqa: N803 - boto's
        if self.error:
            raise self.error
        return {"KeyMetadata": {"KeyManager": self.manager}}

    def get_key_policy(self, KeyId: str, PolicyName: str) -> dict[str, str]:  # noqa: N803 - boto's
        return {"Policy": json.dumps({"Statement": self.statements})}

    def get_paginator(self, operation: str) -> Aws:
        assert operation == "list_grants"
        return self

    def paginate(self, KeyId: str) -> list[dict[str, Any]]:  # noqa: N803 - boto's
        return [{"Grants": self.grants}]


def problems(aws: Aws, image: dict[str, Any] = IMAGE, own: str = "") -> list[str]:
    return image_keys.problems(aws, aws, image, ROLE, own)


def test_a_key_that_the_account_alone_may_use_is_named_with_what_to_add() -> None:
    (problem,) = problems(Aws([ROOT]))
    assert KEY in problem
    added = json.loads(problem[problem.index("[") :])
    assert added == image_keys.statement(ROLE)
    assert problems(Aws([ROOT, *added])) == []


@pytest.mark.parametrize("left_out", [0, 1])
def test_both_statements_are_needed(left_out: int) -> None:
    statements = image_keys.statement(ROLE)
    del statements[left_out]
    assert len(problems(Aws(statements))) == 1


def test_a_role_with_a_custom_suffix_does_not_count() -> None:
    assert len(problems(Aws(image_keys.statement(f"{ROLE}_mine")))) == 1


@pytest.mark.parametrize("operations", [["CreateGrant", "Decrypt"], ["Decrypt"]])
def test_a_grant_for_the_role_is_as_good_as_a_statement(operations: list[str]) -> None:
    aws = Aws([ROOT])
    aws.grants = [{"GranteePrincipal": ROLE, "Operations": operations}]
    assert (problems(aws) == []) is ("CreateGrant" in operations)


def test_amazons_own_key_the_environments_key_and_no_encryption_need_nothing() -> None:
    assert problems(Aws([], manager="AWS")) == []
    assert problems(Aws([]), own=KEY) == []
    assert problems(Aws([]), {"BlockDeviceMappings": [{"Ebs": {"SnapshotId": "snap-1"}}]}) == []


def test_a_key_that_cannot_be_read_is_said() -> None:
    aws = Aws([])
    aws.error = ClientError({"Error": {"Code": "AccessDeniedException"}}, "DescribeKey")
    (problem,) = problems(aws)
    assert "AccessDeniedException" in problem
    assert "not known" in problem
