"""What the emulated RDS reproduces."""

from __future__ import annotations

from rehearsal.aws.services.behaviours import Behaviour

_DOCUMENTS = "https://docs.aws.amazon.com/AmazonRDS/latest"

BEHAVIOURS = (
    Behaviour(
        "A database instance is creating until its server accepts connections, then available. Its master "
        "user has the rights of rds_superuser and is not a superuser.",
        f"{_DOCUMENTS}/UserGuide/accessing-monitoring.html",
        "More than one instance in a Region, other engines' servers, storage, minor versions.",
    ),
    Behaviour(
        "The server has the settings of the parameter group, takes TLS only, and has a certificate for "
        "the endpoint's name.",
        f"{_DOCUMENTS}/UserGuide/PostgreSQL.Concepts.General.SSL.html",
        "Changes of a parameter group after the creation, Amazon's own authorities.",
    ),
    Behaviour(
        "ModifyDBInstance changes the master user's password, and DeleteDBInstance removes the server "
        "with its data.",
        f"{_DOCUMENTS}/APIReference/API_ModifyDBInstance.html",
        "Replicas, Multi-AZ and its failover, IAM authentication.",
    ),
    Behaviour(
        "A snapshot has the data of one moment and outlives its instance. An instance that is restored from "
        "it has its users, passwords and databases.",
        f"{_DOCUMENTS}/UserGuide/USER_RestoreFromSnapshot.html",
        "Automated backups, recovery to a point in time, snapshots of other accounts and Regions.",
    ),
)
