"""Create the user with which workers clear what they cannot end: `python -m airkiln_airflow.technical_user`.

It may read and edit DAGs, runs and task instances, which is the least with which Airflow 3.3.2 lets anybody
clear a task instance (FabAuthManager.is_authorized_dag: the right is needed on the DAG, on its runs and on
its task instances). Its password is AIRKILN_LIFECYCLE_PASSWORD; without one nothing is done. It runs after
`airflow db migrate` and as often as one likes: a password that was changed is taken over.

Exit codes are airkiln's: 0 done or nothing to do, 1 failed.
"""

from __future__ import annotations

import logging
import os
import sys
from pkgutil import resolve_name

from airkiln_airflow.first_admin import FAILED, OK

VARIABLE = "AIRKILN_LIFECYCLE_PASSWORD"
USER = "airkiln-worker"
EMAIL = "airkiln-worker@localhost.invalid"
"""FAB wants an address of every user; this one is nobody's."""
ROLE = "AirkilnWorker"
PERMISSIONS = [
    (action, resource)
    for resource in ("DAGs", "DAG Runs", "Task Instances")
    for action in ("can_read", "can_edit")
]
"""airflow.providers.fab.www.security.permissions names them."""
_FAB_LOGGER = "airflow.providers.fab.auth_manager.security_manager.override"


def settled(password: str, connection: str) -> bool:
    """Whether the user exists with this password, by one query; False when that cannot be told so cheaply.

    FAB's application takes seconds to make, and all but the first run need no more than this answer.
    """
    sqlalchemy = resolve_name("sqlalchemy")
    try:
        with sqlalchemy.create_engine(connection, poolclass=sqlalchemy.pool.NullPool).connect() as session:
            query = sqlalchemy.text("SELECT password FROM ab_user WHERE username = :username")
            found = session.execute(query, {"username": USER}).first()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError):
        return False
    matches = resolve_name("werkzeug.security:check_password_hash")
    return found is not None and bool(matches(found[0], password))


def create(password: str) -> str:
    """Make role and user, or give the user this password; a sentence on what was done.

    Airflow is imported here and not above, because most runs do not come this far. Raises whatever it raises.
    """
    resolve_name("airflow.providers_manager:ProvidersManager")().initialize_providers_configuration()
    builder_maker = resolve_name(
        "airflow.providers.fab.auth_manager.cli_commands.utils:get_application_builder"
    )
    with builder_maker() as builder:
        security = builder.sm
        security.bulk_sync_roles([{"role": ROLE, "perms": PERMISSIONS}])
        # When it fails FAB logs the statement, and the password's hash with it.
        logging.getLogger(_FAB_LOGGER).disabled = True
        if user := security.find_user(username=USER):
            security.reset_password(user.id, password)
            return f"{USER}: has the new password"
        if not security.add_user(USER, "Airkiln", "Worker", EMAIL, security.find_role(ROLE), password):
            raise RuntimeError("FAB made no user")
    return f"{USER}: made"


def main() -> int:
    """Run as a unit's command."""
    password = os.environ.get(VARIABLE, "")
    if not password:
        _say(f"not asked for ({VARIABLE} is not set): workers cannot clear what they cannot finish")
        return OK
    try:
        if settled(password, os.environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "")):
            _say(f"{USER}: exists already, nothing changed")
            return OK
        # Making the roles writes a line for each of hundreds of permissions.
        os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "WARNING"
        _say(create(password))
    except Exception as error:
        # Only the kind: the text may hold the connection or the hash.
        _say(
            f"not made ({type(error).__name__}): look at the database connection, and that "
            "`airflow db migrate` ran and the auth manager is FAB's"
        )
        return FAILED
    return OK


def _say(message: str) -> None:
    sys.stderr.write(f"technical user: {message}\n")


if __name__ == "__main__":
    sys.exit(main())
