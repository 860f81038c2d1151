"""Create Airflow's users of an environment: `python -m airkiln_airflow.fab_users`.

- The first administrator, from AIRKILN_ADMIN_USERNAME, AIRKILN_ADMIN_PASSWORD and AIRKILN_ADMIN_EMAIL. A user
  who exists is left alone, password and all.
- The user `airkiln-worker`, with which workers clear the tasks that they cannot finish, from
  AIRKILN_LIFECYCLE_PASSWORD. A changed password is set. The user may read and edit DAGs, DAG runs and task
  instances, the least with which Airflow 3.3.2 lets a user clear a task instance
  (FabAuthManager.is_authorized_dag).

Users whose variables are not set are not created. `airflow users create` wants the password as an argument,
which every process on the host can read; this goes to the security manager of FAB instead. Run it after
`airflow db migrate`, as often as you like.

Exit codes are airkiln's: 0 done or nothing to do, 1 failed, 78 configuration refused.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import Any

OK, FAILED, REFUSED = 0, 1, 78

ADMIN_VARIABLES = ("AIRKILN_ADMIN_USERNAME", "AIRKILN_ADMIN_PASSWORD", "AIRKILN_ADMIN_EMAIL")
ADMIN_ROLE = "Admin"
WORKER_VARIABLE = "AIRKILN_LIFECYCLE_PASSWORD"
WORKER = "airkiln-worker"
WORKER_ROLE = "AirkilnWorker"
WORKER_PERMISSIONS = tuple(
    (action, resource)
    for resource in ("DAGs", "DAG Runs", "Task Instances")
    for action in ("can_read", "can_edit")
)
"""airflow.providers.fab.www.security.permissions names them."""
_FAB_LOGGER = "airflow.providers.fab.auth_manager.security_manager.override"


class RefusedError(Exception):
    """The configuration cannot be followed. The message says why and what to do."""


@dataclass(frozen=True)
class User:
    """A user who is to exist.

    `permissions` make up a role of Airkiln's own; none: the role is Airflow's. `keeps_password`: a user who
    exists already keeps the password.
    """

    username: str
    name: tuple[str, str]
    email: str
    role: str
    password: str = field(repr=False)
    permissions: tuple[tuple[str, str], ...] = ()
    keeps_password: bool = False


def administrator(environment: Mapping[str, str]) -> User | None:
    """The first administrator; None where none of the variables is set.

    :raises RefusedError: some of the variables are set, and others are missing.
    """
    given = {name: environment.get(name, "") for name in ADMIN_VARIABLES}
    if not any(given.values()):
        return None
    missing = [name for name, value in given.items() if not value]
    if missing:
        raise RefusedError(
            f"{', '.join(missing)}: missing: the first administrator needs name, password and address: "
            "store the parameter, or remove the others"
        )
    username, password, email = given.values()
    return User(username, ("Airflow", "Administrator"), email, ADMIN_ROLE, password, keeps_password=True)


def worker(environment: Mapping[str, str]) -> User | None:
    """The user of the workers' drain; None where it has no password."""
    password = environment.get(WORKER_VARIABLE, "")
    if not password:
        return None
    # FAB requires an address of every user; nobody has this one.
    email = f"{WORKER}@localhost.invalid"
    return User(WORKER, ("Airkiln", "Worker"), email, WORKER_ROLE, password, WORKER_PERMISSIONS)


def settled(user: User, connection: str) -> bool:
    """Whether the user exists as wanted, by one query. False where one query cannot find out.

    FAB's application takes seconds to make, and all runs but the first need no more than this answer.
    """
    sqlalchemy = resolve_name("sqlalchemy")
    try:
        engine = sqlalchemy.create_engine(connection, poolclass=sqlalchemy.pool.NullPool)
        with engine.connect() as session:
            query = sqlalchemy.text("SELECT password FROM ab_user WHERE username = :username")
            found = session.execute(query, {"username": user.username}).first()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError):
        return False
    if found is None or user.keeps_password:
        return found is not None
    return bool(resolve_name("werkzeug.security:check_password_hash")(found[0], user.password))


def create(users: list[User]) -> list[str]:
    """Create each user, or set the password of one who exists. Returns a sentence for each.

    Airflow is imported here and not above, because most runs do not come this far.

    :raises RefusedError: another user has the address.
    """
    resolve_name("airflow.providers_manager:ProvidersManager")().initialize_providers_configuration()
    builder = resolve_name("airflow.providers.fab.auth_manager.cli_commands.utils:get_application_builder")
    with builder() as application:
        # When a statement fails, FAB logs it with the hash of the password.
        logging.getLogger(_FAB_LOGGER).disabled = True
        return [_create(application.sm, user) for user in users]


def _create(security: Any, user: User) -> str:  # noqa: ANN401 - FAB's security manager
    if user.permissions:
        security.bulk_sync_roles([{"role": user.role, "perms": list(user.permissions)}])
    if known := security.find_user(username=user.username):
        if user.keeps_password:
            return _unchanged(user)
        security.reset_password(known.id, user.password)
        return f"{user.username}: has the new password"
    if security.find_user(email=user.email):
        raise RefusedError(f"{user.username}: another user has the address {user.email}: choose another")
    role = security.find_role(user.role)
    if not security.add_user(user.username, *user.name, user.email, role, user.password):
        raise RuntimeError(f"FAB did not create {user.username}")
    return f"{user.username}: created with the role {user.role}"


def _unchanged(user: User) -> str:
    return f"{user.username}: exists already, nothing changed"


def main() -> int:
    """Run as a unit's command."""
    try:
        wanted = {
            "first administrator": administrator(os.environ),
            "user of the workers' drain": worker(os.environ),
        }
        for what, user in wanted.items():
            if user is None:
                _say(f"no {what}: its variables are not set")
        users = [user for user in wanted.values() if user is not None]
        connection = os.environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "")
        missing = [user for user in users if not settled(user, connection)]
        for user in users:
            if user not in missing:
                _say(_unchanged(user))
        if missing:
            # Making Airflow's own roles writes a line for each of hundreds of permissions.
            os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "WARNING"
            for sentence in create(missing):
                _say(sentence)
    except RefusedError as error:
        _say(str(error))
        return REFUSED
    except Exception as error:
        # Only the kind: the text may hold the connection or the hash.
        _say(
            f"not created ({type(error).__name__}): check the database connection, that "
            "`airflow db migrate` has run, and that the auth manager is FAB's"
        )
        return FAILED
    return OK


def _say(message: str) -> None:
    sys.stderr.write(f"users: {message}\n")


if __name__ == "__main__":
    sys.exit(main())
