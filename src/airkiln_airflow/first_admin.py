"""Create the first administrator from the environment: `python -m airkiln_airflow.first_admin`.

`airflow users create` wants the password as an argument, which every process on the host can read, or asks
for it on a terminal. This goes to FAB's security manager with AIRKILN_ADMIN_USERNAME, AIRKILN_ADMIN_PASSWORD
and AIRKILN_ADMIN_EMAIL of its environment instead. It runs after `airflow db migrate` and as often as one
likes: a user who exists is left alone, password and all.

Exit codes are airkiln's: 0 done or nothing to do, 1 failed, 78 configuration refused.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pkgutil import resolve_name

OK, FAILED, REFUSED = 0, 1, 78
ROLE = "Admin"
_VARIABLES = ("AIRKILN_ADMIN_USERNAME", "AIRKILN_ADMIN_PASSWORD", "AIRKILN_ADMIN_EMAIL")
_FAB_LOGGER = "airflow.providers.fab.auth_manager.security_manager.override"


class RefusedError(Exception):
    """The configuration cannot be followed; the message says why and what to do."""


@dataclass(frozen=True)
class Administrator:
    """Who is to be made."""

    username: str
    email: str
    password: str = field(repr=False)


def requested(environment: Mapping[str, str]) -> Administrator | None:
    """The administrator that the environment asks for, or None if it names none of the variables."""
    given = {name: environment.get(name, "") for name in _VARIABLES}
    if not any(given.values()):
        return None
    missing = [name for name, value in given.items() if not value]
    if missing:
        raise RefusedError(
            f"{', '.join(missing)}: missing: the first administrator needs name, password and address; "
            "store the parameter, or remove the others"
        )
    username, password, email = given.values()
    return Administrator(username=username, email=email, password=password)


def exists(username: str, connection: str) -> bool:
    """Whether the database has the user, by one query; False when that cannot be told so cheaply.

    FAB's application takes seconds to make, and all but the first run need no more than this answer.
    """
    sqlalchemy = resolve_name("sqlalchemy")
    try:
        with sqlalchemy.create_engine(connection, poolclass=sqlalchemy.pool.NullPool).connect() as session:
            query = sqlalchemy.text("SELECT 1 FROM ab_user WHERE username = :username")
            return session.execute(query, {"username": username}).first() is not None
    except (sqlalchemy.exc.SQLAlchemyError, ImportError):
        return False


def create(administrator: Administrator) -> str:
    """Make the user unless one has that name; returns a sentence on what was done.

    Airflow is imported here and not above, because most runs do not come this far. Raises RefusedError where
    the address is taken, and whatever Airflow raises.
    """
    resolve_name("airflow.providers_manager:ProvidersManager")().initialize_providers_configuration()
    builder_maker = resolve_name(
        "airflow.providers.fab.auth_manager.cli_commands.utils:get_application_builder"
    )
    with builder_maker() as builder:
        security = builder.sm
        if security.find_user(username=administrator.username):
            return _unchanged(administrator)
        if security.find_user(email=administrator.email):
            raise RefusedError(
                "AIRKILN_ADMIN_EMAIL: another user has this address, so the administrator was not made: "
                "choose another address"
            )
        role = security.find_role(ROLE)
        # When it fails FAB logs the statement, and the password's hash with it.
        logging.getLogger(_FAB_LOGGER).disabled = True
        security.add_user(
            administrator.username,
            "Airflow",
            "Administrator",
            administrator.email,
            role,
            administrator.password,
        )
    return f"{administrator.username}: made an administrator"


def _unchanged(administrator: Administrator) -> str:
    return f"{administrator.username}: exists already, nothing changed"


def main() -> int:
    """Run as a unit's command."""
    try:
        administrator = requested(os.environ)
        if administrator is None:
            _say("no first administrator is asked for (AIRKILN_ADMIN_USERNAME is not set)")
            return OK
        if exists(administrator.username, os.environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "")):
            _say(_unchanged(administrator))
        else:
            # Making the roles writes a line for each of hundreds of permissions.
            os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "WARNING"
            _say(create(administrator))
    except RefusedError as error:
        _say(str(error))
        return REFUSED
    except Exception as error:
        # Only the kind: the text may hold the connection or the hash.
        _say(
            f"not made ({type(error).__name__}): look at the database connection, and that "
            "`airflow db migrate` ran and the auth manager is FAB's"
        )
        return FAILED
    return OK


def _say(message: str) -> None:
    sys.stderr.write(f"first administrator: {message}\n")


if __name__ == "__main__":
    sys.exit(main())
