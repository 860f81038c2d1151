"""Corrections of moto's RDS."""

from __future__ import annotations

import re

from moto.rds.exceptions import InvalidParameterValue
from moto.rds.models import RDSBackend

from rehearsal.aws.services.patching import Moto, Patch

PASSWORD = re.compile(r"[!#-.0-?A-~]{8,128}")
"""MasterUserPassword of the API's CreateDBInstance, for PostgreSQL."""


def _check_password(original: Moto) -> Moto:
    def check(self: RDSBackend, *arguments: Moto) -> Moto:
        """Create or change a database instance."""
        password = arguments[-1].get("MasterUserPassword")
        if password is not None and not PASSWORD.fullmatch(password):
            raise InvalidParameterValue(
                "The parameter MasterUserPassword is not a valid password. Only printable ASCII characters "
                "besides '/', '@', '\"', ' ' may be used."
            )
        return original(self, *arguments)

    return check


PATCHES = tuple(
    Patch(
        RDSBackend,
        method,
        _check_password,
        upstream="moto/rds/models.py, RDSBackend",
        problem='moto takes every MasterUserPassword. AWS takes 8 to 128 printable characters without / " @ '
        "and blanks.",
    )
    for method in ("create_db_instance", "modify_db_instance")
)
