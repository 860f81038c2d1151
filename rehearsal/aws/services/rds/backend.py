"""Emulates RDS: moto's API and records, with a server behind an instance of PostgreSQL 17.

CreateDBInstance answers ``creating``; the instance is ``available`` when its server accepts connections. The
server has the master user with the rights of ``rds_superuser``, the database that the request names, the
settings of the parameter group, and a certificate for the endpoint's name. Its clients must use TLS.
ModifyDBInstance changes the master user's password. DeleteDBInstance removes the server with its data, after
a final snapshot if one is asked for; an instance with deletion protection stays. A snapshot holds the data of
one moment (`snapshots`), and RestoreDBInstanceFromDBSnapshot starts a server with it.
Source: the RDS API reference, and the RDS user guide, "DB instance status".

Left out: more than one instance in a region, other engines' servers, replicas and Multi-AZ, automated backups
(they are records, and cannot be restored) and point-in-time recovery, changes of a parameter group after the
instance was created, storage, minor versions, and everything that ``postgres`` leaves out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moto.rds import urls
from moto.rds.exceptions import RDSClientError
from moto.rds.models import DBInstance, DBSnapshot, rds_backends

from rehearsal.aws.account import ACCOUNT, aws_region
from rehearsal.aws.services.patching import Moto
from rehearsal.aws.services.rds.models import AVAILABLE, ENGINE
from rehearsal.aws.services.rds.snapshots import RESTORED, SnapshotBackend
from rehearsal.linux.addresses import POSTGRES

log = logging.getLogger(__name__)
OF_RDS = "rds."
"""Begins the names of parameters that RDS itself reads, such as rds.force_ssl: the server always has TLS."""


class EmulatedRDS(SnapshotBackend):
    """RDS in one AWS region, with one server."""

    changed: Callable[[], None]
    """Is called after a change of what ``endpoints`` lists."""

    @property
    def _url_module(self) -> Moto:
        """moto looks for a service's URLs beside the backend's module, which is not true of this one."""
        return urls

    def create_db_instance(self, db_kwargs: dict[str, Any]) -> DBInstance:
        """Record the instance, then start its server.

        :raises RDSClientError: there is a server already.
        """
        served = [each for each in self.databases.values() if each.engine == ENGINE]
        if db_kwargs.get("engine") == ENGINE and (served or self.server.exists()):
            raise RDSClientError(
                "InstanceQuotaExceeded",
                "Request would result in user exceeding the allotted quota of DB instances: this region has "
                "one database server, and it is in use.",
            )
        database = super().create_db_instance(db_kwargs)
        self.changed()
        if database.engine == ENGINE:
            database.status = "creating"
            disk = RESTORED.get()
            self.submit(lambda: self._create(database, disk))
        return database

    def modify_db_instance(self, db_instance_identifier: str, db_kwargs: dict[str, Any]) -> DBInstance:
        """Change the records, and the master user's password at once, as RDS does."""
        database = super().modify_db_instance(db_instance_identifier, db_kwargs)
        self.changed()
        if database.engine == ENGINE and db_kwargs.get("master_user_password"):
            self.server.create_administrator(str(database.master_username), _password(database))
        return database

    def _delete(self, database: DBInstance, snapshot: DBSnapshot | None) -> None:
        super()._delete(database, snapshot)
        self.changed()

    def _create(self, database: DBInstance, disk: Path | None) -> None:
        """Start the server: with the data of a snapshot, or with a master user and its database."""
        try:
            master = str(database.master_username)
            self.server.start(database.address, disk)
            self.server.configure(_settings(database))
            if disk is None:
                self.server.create_administrator(master, _password(database))
                if database.db_name:
                    self.server.create_database(database.db_name, master)
        except Exception:
            database.status = "failed"
            log.exception("The server of %s did not start", database.db_instance_identifier)
        else:
            database.status = AVAILABLE


def backend() -> EmulatedRDS:
    """Return the RDS of the emulated account and region."""
    found = rds_backends[ACCOUNT][aws_region()]
    if not isinstance(found, EmulatedRDS):
        raise TypeError("moto served RDS before install(): call install() before the first request.")
    return found


def endpoints() -> list[tuple[str, list[str]]]:
    """The addresses of database servers, each with the ids of its instance's security groups."""
    databases = list(backend().databases.values())
    return [(str(POSTGRES), list(each.vpc_security_group_ids)) for each in databases if each.engine == ENGINE]


def _password(database: DBInstance) -> str:
    return str(database._master_user_password)


def _settings(database: DBInstance) -> dict[str, str]:
    """The parameters of the instance's group that PostgreSQL itself knows."""
    (group,) = database.db_parameter_groups()
    return {
        name: str(parameter["ParameterValue"])
        for name, parameter in group.parameters.items()
        if not name.startswith(OF_RDS)
    }
