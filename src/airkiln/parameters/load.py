"""From a source to the files that systemd reads: read, check, write. All or nothing."""

from __future__ import annotations

import grp
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from airkiln import receivers
from airkiln.errors import AirkilnError, RefusedError
from airkiln.host.environment import read_optional
from airkiln.host.files import Ownership, write
from airkiln.host.layout import Layout
from airkiln.parameters import rules
from airkiln.parameters.source import Source
from airkiln.roles import ROLES, Role
from airkiln.systemd import envfile

ROOT_PREFIXES = ("AIRKILN_ADMIN_", "AIRKILN_CONTROLLER_", "AIRKILN_LIFECYCLE_")
"""What the database step, the failover controller and a worker's drain log in with, and the first
administrator's account, go to a file of their own: operators' Airflow commands, which read the other one,
must not find them."""

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


def options_of_a_file(path: Path) -> list[str]:
    """A sentence where Airflow's configuration file holds an option; none where it is empty or not there.

    Airflow would follow it, past every rule of `rules`, and Airkiln's programs, which read the environment
    alone, would not: the web server would look for logs at a port at which no log server listens.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        return [f"{path}: cannot be read ({error.strerror}): run as root"]
    held = [number for number, line in enumerate(lines, 1) if line.strip() and line.lstrip()[0] not in "#;["]
    if not held:
        return []
    return [
        f"{path}: line {held[0]} holds an option, and Airkiln's programs read the environment alone: store "
        "it as a parameter, or in airflow_extra_configuration of the image, and leave the file empty"
    ]


def collect(source: Source, environment: str, role: Role, layout: Layout) -> Loaded:
    """Read and check; raises what the source raises, and RefusedError with every problem at once."""
    parameters = source.read(environment_named(environment), role.folders)
    problems = rules.check(parameters, role, read_optional(layout.static_env))
    problems += options_of_a_file(layout.airflow_cfg)
    if problems:
        raise RefusedError(problems)
    values = {parameter.name: parameter.value for parameter in parameters}
    return Loaded(
        airflow={name: value for name, value in values.items() if not name.startswith(ROOT_PREFIXES)},
        admin={name: value for name, value in values.items() if name.startswith(ROOT_PREFIXES)},
    )


def store(
    loaded: Loaded,
    role: Role,
    output: Path,
    *,
    also: Mapping[Path, tuple[str, Ownership]] | None = None,
) -> None:
    """Write `output`, and beside it admin.env and the file of each unit, with the files in `also`.

    Only root reads them: systemd reads a unit's file before it gives up root's rights. Raises AirkilnError
    when a file cannot be written; the old ones then stand.
    """
    units = receivers.environments({**loaded.airflow, **loaded.admin}, role)
    variables: dict[Path, Mapping[str, str]] = {
        output: loaded.airflow,
        output.with_name(ADMIN_FILE): loaded.admin,
        **{output.with_name(receivers.file_name(unit)): found for unit, found in units.items()},
    }
    contents = {path: (envfile.render(found), Ownership(0o600)) for path, found in variables.items()}
    contents |= also or {}
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
