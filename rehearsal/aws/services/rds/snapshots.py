"""Snapshots of database instances, with the data in them.

CreateDBSnapshot answers ``creating``; the snapshot is ``available`` when the data are copied. They are those
of one moment: the server stops for the time of the copy, as a Single-AZ instance does, and what it had not
committed is rolled back when it starts with them. A snapshot outlives its instance. DeleteDBInstance with a
final snapshot keeps the instance ``deleting`` until that is made. RestoreDBInstanceFromDBSnapshot makes an
instance with the users, passwords and databases of the snapshot, in one zone, without deletion protection and
with the parameter group of the request.
Source: the RDS API reference (CreateDBSnapshot, DeleteDBInstance, RestoreDBInstanceFromDBSnapshot), and the
RDS user guide, "Creating a DB snapshot" and "Restoring to a DB instance".

Left out: snapshots of other accounts and Regions, volumes that load lazily, automated backups (records that
cannot be restored).
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from moto.rds.exceptions import DBInstanceNotFoundError, InvalidParameterCombination, RDSClientError
from moto.rds.models import DBInstance, DBSnapshot, RDSBackend

from rehearsal.aws.services.patching import Moto
from rehearsal.aws.services.rds.models import AVAILABLE, ENGINE, Server, in_background

log = logging.getLogger(__name__)
MANUAL = "manual"
RESTORED: ContextVar[Path | None] = ContextVar("restored", default=None)
"""The data with which the present request creates an instance."""


class SnapshotBackend(RDSBackend):
    """moto's RDS, whose snapshots of PostgreSQL hold data."""

    server: Server
    folder: Path
    """Where the data of snapshots are; removed with the rehearsal."""
    submit: Callable[[Callable[[], None]], None] = staticmethod(in_background)
    """Runs what takes longer than a request; unit tests replace it."""

    def disk(self, snapshot: str) -> Path:
        """The folder with a snapshot's data."""
        return self.folder / snapshot.lower()

    def create_db_snapshot(
        self,
        db_instance_identifier: str,
        db_snapshot_identifier: str,
        snapshot_type: str = MANUAL,
        *arguments: Moto,
        **options: Moto,
    ) -> DBSnapshot:
        """Record a snapshot, then copy the data.

        :raises RDSClientError: the instance is not available.
        """
        database = self.databases.get(db_instance_identifier)
        copied = database is not None and database.engine == ENGINE and snapshot_type == MANUAL
        if copied:
            _require_available(database)
        snapshot = super().create_db_snapshot(
            db_instance_identifier, db_snapshot_identifier, snapshot_type, *arguments, **options
        )
        if copied:
            snapshot.status = "creating"
            self.submit(lambda: self._copy(snapshot))
        return snapshot

    def copy_db_snapshot(
        self,
        source_db_snapshot_identifier: str,
        target_db_snapshot_identifier: str,
        *arguments: Moto,
        **options: Moto,
    ) -> DBSnapshot:
        """Record a copy of a snapshot, and copy its data."""
        source = source_db_snapshot_identifier.rpartition(":")[2]
        self._require_restorable(source)
        copy = super().copy_db_snapshot(source, target_db_snapshot_identifier, *arguments, **options)
        shutil.copytree(self.disk(source), self.disk(copy.db_snapshot_identifier), symlinks=True)
        return copy

    def delete_db_snapshot(self, db_snapshot_identifier: str) -> DBSnapshot:
        """Delete a snapshot with its data. An instance that was restored from it has its own."""
        snapshot = super().delete_db_snapshot(db_snapshot_identifier)
        shutil.rmtree(self.disk(db_snapshot_identifier), ignore_errors=True)
        return snapshot

    def restore_db_instance_from_db_snapshot(
        self, from_snapshot_id: str, overrides: dict[str, Any]
    ) -> DBInstance:
        """Make an instance with the data of a snapshot.

        :raises RDSClientError: the snapshot is not available, or has no data.
        """
        source = from_snapshot_id.rpartition(":")[2]
        snapshot = self.describe_db_snapshots(None, source)[0]
        if snapshot.engine != ENGINE:
            return super().restore_db_instance_from_db_snapshot(source, overrides)
        self._require_restorable(source)
        token = RESTORED.set(self.disk(source))
        try:
            database = super().restore_db_instance_from_db_snapshot(source, overrides)
        finally:
            RESTORED.reset(token)
        database.deletion_protection = bool(overrides.get("deletion_protection"))
        database.multi_az = bool(overrides.get("multi_az"))
        return database

    def delete_db_instance(
        self,
        db_instance_identifier: str,
        final_db_snapshot_identifier: str | None = None,
        skip_final_snapshot: bool | None = False,
        delete_automated_backups: bool | None = True,
    ) -> DBInstance:
        """Delete an instance; it is ``deleting`` until its final snapshot is made and its server is gone.

        :raises RDSClientError: it is protected, it is being deleted, or the request neither asks for a final
            snapshot nor does without, or does both.
        """
        database = self.databases.get(db_instance_identifier)
        if database is None:
            raise DBInstanceNotFoundError(db_instance_identifier)
        final = final_db_snapshot_identifier
        if bool(final) is bool(skip_final_snapshot):
            raise InvalidParameterCombination(
                "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified, and cannot be "
                "specified together with it."
            )
        if database.status == "deleting":
            raise RDSClientError(
                "InvalidDBInstanceState", f"Instance {db_instance_identifier} is already being deleted."
            )
        if database.engine != ENGINE:
            return super().delete_db_instance(
                db_instance_identifier, final, skip_final_snapshot, delete_automated_backups
            )
        if database.deletion_protection:
            raise InvalidParameterCombination(
                "Cannot delete protected DB Instance, please disable deletion protection and try again."
            )
        snapshot = super().create_db_snapshot(db_instance_identifier, final, MANUAL) if final else None
        super().delete_db_instance(db_instance_identifier, None, True, delete_automated_backups)
        self.databases[db_instance_identifier] = database
        if snapshot is not None:
            snapshot.status = "creating"
        self.submit(lambda: self._delete(database, snapshot))
        return database

    def _delete(self, database: DBInstance, snapshot: DBSnapshot | None) -> None:
        if snapshot is not None:
            self._copy(snapshot)
            if snapshot.status != AVAILABLE:
                database.status = AVAILABLE
                return
        self.server.remove()
        self.databases.pop(database.db_instance_identifier, None)

    def _copy(self, snapshot: DBSnapshot) -> None:
        """Copy the server's data; the snapshot is available then, or failed."""
        disk = self.disk(snapshot.db_snapshot_identifier)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.server.snapshot(disk)
        except Exception:
            snapshot.status = "failed"
            log.exception("The snapshot %s was not made", snapshot.db_snapshot_identifier)
        else:
            snapshot.status = AVAILABLE

    def _require_restorable(self, snapshot: str) -> None:
        found = self.describe_db_snapshots(None, snapshot)[0]
        if found.status != AVAILABLE or found.snapshot_type != MANUAL:
            raise RDSClientError(
                "InvalidDBSnapshotState",
                f"DBSnapshot {snapshot} is {found.status} and {found.snapshot_type}: only an available "
                "manual snapshot has data here.",
            )


def _require_available(database: DBInstance | None) -> None:
    if database is not None and database.status != AVAILABLE:
        raise RDSClientError(
            "InvalidDBInstanceState",
            f"Cannot create a snapshot because the database instance {database.db_instance_identifier} is "
            "not currently in the available state.",
        )
