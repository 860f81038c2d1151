"""Snapshots hold the data of one moment, and an instance can be restored from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.unit.rehearsal.aws.services.rds.recorded import WANTED, Rds

NAME = {"DBInstanceIdentifier": "airkiln-prod"}
SNAPSHOT = {"DBSnapshotIdentifier": "before"}
FINAL = NAME | {"FinalDBSnapshotIdentifier": "last"}


@pytest.fixture
def running(aws: Rds) -> Rds:
    """An instance with data."""
    aws.client.create_db_instance(**WANTED)
    aws.settle()
    aws.server.data = "users"
    return aws


def refused(call: Callable[..., Any], **request: Any) -> str:  # noqa: ANN401 - boto3
    with pytest.raises(ClientError) as answer:
        call(**request)
    return str(answer.value.response["Error"]["Code"])


def state(aws: Rds, snapshot: str) -> str:
    (found,) = aws.client.describe_db_snapshots(DBSnapshotIdentifier=snapshot)["DBSnapshots"]
    return str(found["Status"])


def test_a_snapshot_is_available_once_its_data_are_copied(running: Rds) -> None:
    running.client.create_db_snapshot(**NAME, **SNAPSHOT)
    assert state(running, "before") == "creating"
    running.settle()
    assert state(running, "before") == "available"


def test_a_snapshot_that_cannot_be_copied_has_failed(running: Rds) -> None:
    running.client.create_db_snapshot(**NAME, **SNAPSHOT)
    running.server.broken = True
    running.settle()
    assert state(running, "before") == "failed"


def test_an_instance_that_is_not_available_has_no_snapshot_made(aws: Rds) -> None:
    aws.client.create_db_instance(**WANTED)
    assert refused(aws.client.create_db_snapshot, **NAME, **SNAPSHOT) == "InvalidDBInstanceState"


class TestDeletion:
    """Nothing is deleted by oversight."""

    def test_a_protected_instance_stays_with_its_server(self, running: Rds) -> None:
        running.client.modify_db_instance(**NAME, DeletionProtection=True)
        refusal = refused(running.client.delete_db_instance, **FINAL)
        assert refusal == "InvalidParameterCombination"
        assert running.status == "available"
        assert running.client.describe_db_snapshots(SnapshotType="manual")["DBSnapshots"] == []
        running.client.modify_db_instance(**NAME, DeletionProtection=False)
        running.client.delete_db_instance(**FINAL)

    @pytest.mark.parametrize("request_", [NAME, FINAL | {"SkipFinalSnapshot": True}], ids=["neither", "both"])
    def test_a_final_snapshot_is_asked_for_or_done_without(
        self, running: Rds, request_: dict[str, Any]
    ) -> None:
        refusal = refused(running.client.delete_db_instance, **request_)
        assert refusal == "InvalidParameterCombination"
        assert running.server.here

    def test_an_instance_is_deleting_until_its_final_snapshot_is_made_and_its_server_gone(
        self, running: Rds
    ) -> None:
        running.client.delete_db_instance(**FINAL)
        assert (running.status, state(running, "last")) == ("deleting", "creating")
        assert running.server.here
        assert refused(running.client.delete_db_instance, **FINAL) == "InvalidDBInstanceState"
        running.settle()
        assert state(running, "last") == "available"
        assert not running.server.here
        assert running.client.describe_db_instances()["DBInstances"] == []

    def test_without_a_final_snapshot_the_data_are_gone(self, running: Rds) -> None:
        running.client.delete_db_instance(**NAME, SkipFinalSnapshot=True)
        running.settle()
        assert not running.server.here
        assert running.client.describe_db_snapshots(SnapshotType="manual")["DBSnapshots"] == []

    def test_an_instance_whose_final_snapshot_fails_stays(self, running: Rds) -> None:
        running.client.delete_db_instance(**FINAL)
        running.server.broken = True
        running.settle()
        assert state(running, "last") == "failed"
        assert running.status == "available"
        assert running.server.here


class TestRestoring:
    """A new instance with the data, and nothing else of what the old one had at the end."""

    @pytest.fixture
    def deleted(self, running: Rds) -> Rds:
        running.client.modify_db_instance(**NAME, MultiAZ=True)
        running.client.delete_db_instance(**FINAL)
        running.settle()
        return running

    def restore(self, aws: Rds, snapshot: str = "last", **more: Any) -> None:  # noqa: ANN401 - boto3
        aws.client.restore_db_instance_from_db_snapshot(
            DBInstanceIdentifier="airkiln-new", DBSnapshotIdentifier=snapshot, **more
        )

    def test_it_has_the_data_and_its_own_name(self, deleted: Rds) -> None:
        self.restore(deleted)
        assert deleted.status == "creating"
        deleted.settle()
        assert deleted.status == "available"
        assert deleted.server.data == "users"
        assert deleted.server.host.startswith("airkiln-new.")

    def test_users_and_databases_are_those_of_the_snapshot(self, deleted: Rds) -> None:
        deleted.server.passwords.clear()
        deleted.server.owners.clear()
        self.restore(deleted)
        deleted.settle()
        assert (deleted.server.passwords, deleted.server.owners) == ({}, {})

    def test_it_is_in_one_zone_and_unprotected_unless_asked_for(self, deleted: Rds) -> None:
        self.restore(deleted)
        (found,) = deleted.client.describe_db_instances()["DBInstances"]
        assert (found["MultiAZ"], found["DeletionProtection"]) == (False, False)

    def test_a_snapshot_outlives_what_was_restored_and_the_other_way_round(self, deleted: Rds) -> None:
        self.restore(deleted)
        deleted.settle()
        deleted.client.delete_db_snapshot(DBSnapshotIdentifier="last")
        assert deleted.server.data == "users"
        assert refused(deleted.client.describe_db_snapshots, DBSnapshotIdentifier="last")

    def test_a_copy_holds_the_data_too(self, deleted: Rds) -> None:
        deleted.client.copy_db_snapshot(
            SourceDBSnapshotIdentifier="last", TargetDBSnapshotIdentifier="copied"
        )
        deleted.client.delete_db_snapshot(DBSnapshotIdentifier="last")
        self.restore(deleted, "copied")
        deleted.settle()
        assert deleted.server.data == "users"

    def test_a_snapshot_that_is_not_available_is_refused(self, running: Rds) -> None:
        running.client.create_db_snapshot(**NAME, **SNAPSHOT)
        assert (
            refused(
                running.client.restore_db_instance_from_db_snapshot,
                DBInstanceIdentifier="airkiln-new",
                DBSnapshotIdentifier="before",
            )
            == "InvalidDBSnapshotState"
        )

    def test_a_second_server_is_refused_beside_the_first(self, running: Rds) -> None:
        running.client.create_db_snapshot(**NAME, **SNAPSHOT)
        running.settle()
        assert (
            refused(
                running.client.restore_db_instance_from_db_snapshot,
                DBInstanceIdentifier="airkiln-new",
                DBSnapshotIdentifier="before",
            )
            == "InstanceQuotaExceeded"
        )
