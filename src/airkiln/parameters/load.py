"""From a source to the files that systemd reads: read, check, write. All or nothing."""

from __future__ import annotations

import grp
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from airkiln.errors import AirkilnError, RefusedError
from airkiln.host.environment import read_optional
from airkiln.host.files import Ownership, write
from airkiln.host.layout import SERVICE_GROUP
from airkiln.parameters import rules
from airkiln.parameters.source import Source
from airkiln.roles import ROLES, Role
from airkiln.systemd import envfile

ROOT_PREFIXES = ("AIRKILN_ADMIN_", "AIRKILN_CONTROLLER_", "AIRKILN_LIFECYCLE_")
"""What the database step, the failover controller and a worker's drain log in with, and the first
administrator's account, go to a file that only root reads (systemd does, for their units): the service user
runs DAG code, which must not find them."""

ADMIN_FILE = "admin.env"


@dataclass(frozen=True)
class Loaded:
    """What is in force after reading and checking."""

    airflow: Mapping[str, str]
    admin: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Loaded({len(self.airflow)} for Airflow, {len(self.admin)} for the first administrator)"


def role_named(name: str) -> Role:
    """The role, or RefusedError with the names there are."""
    role = ROLES.get(name)
    if role is None:
        raise RefusedError(
            [
                f"the role {name!r} is unknown: set the instance's airkiln:role tag to one of "
                f"{', '.join(ROLES)}"
            ]
        )
    return role


def environment_named(name: str) -> str:
    """The environment's name if Parameter Store can hold it as a path segment, or RefusedError."""
    if not name or not all(char.isascii() and (char.isalnum() or char in "._-") for char in name):
        raise RefusedError(
            [
                f"the environment {name!r} is not a valid name: use only letters, digits, ., _ and - in the "
                "tag airkiln:environment"
            ]
        )
    return name


def collect(source: Source, environment: str, role: Role, static_env: Path) -> Loaded:
    """Read and check; raises what the source raises, and RefusedError with every problem at once."""
    parameters = source.read(environment_named(environment), role.folders)
    problems = rules.check(parameters, role, read_optional(static_env))
    if problems:
        raise RefusedError(problems)
    values = {parameter.name: parameter.value for parameter in parameters}
    return Loaded(
        airflow={name: value for name, value in values.items() if not name.startswith(ROOT_PREFIXES)},
        admin={name: value for name, value in values.items() if name.startswith(ROOT_PREFIXES)},
    )


def store(
    loaded: Loaded,
    output: Path,
    *,
    group: str = SERVICE_GROUP,
    also: Mapping[Path, tuple[str, Ownership]] | None = None,
) -> None:
    """Write `output` for `group`, and admin.env beside it, together with the files in `also`.

    Raises AirkilnError when a file cannot be written; the old ones then stand.
    """
    contents: dict[Path, tuple[str, Ownership]] = {
        output: (envfile.render(loaded.airflow), service_ownership(group)),
        output.with_name(ADMIN_FILE): (envfile.render(loaded.admin), Ownership(0o600)),
        **(also or {}),
    }
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write(contents)
    except OSError as error:
        raise AirkilnError(
            f"{output}: could not be written ({error.strerror}): "
            f"check the space on {output.parent} and run as root"
        ) from None


def service_ownership(name: str) -> Ownership:
    """root:<group> 0640 where root runs this; otherwise the caller's, 0600."""
    if os.geteuid() != 0:
        return Ownership(0o600)
    try:
        group = grp.getgrnam(name).gr_gid
    except KeyError:
        raise AirkilnError(
            f"the group {name!r} does not exist on this machine: apply the airflow role first"
        ) from None
    return Ownership(0o640, uid=0, gid=group)
