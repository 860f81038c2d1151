"""This host, as the controller and its commands know it: who it is, how it logs in, where its files lie."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from airkiln.database.target import parse
from airkiln.errors import NotPermittedError, NotReadyError, RefusedError
from airkiln.host.layout import Layout
from airkiln.roles import DATABASE
from airkiln.systemd import envfile

USER = "airkiln_controller"
PASSWORD = "AIRKILN_CONTROLLER_DATABASE_PASSWORD"  # noqa: S105 - the variable's name
SERVICE = "airkiln_scheduler"


@dataclass(frozen=True)
class Folder:
    """The controller's runtime directory."""

    path: Path = Path("/run/airkiln-failover")

    @property
    def gate(self) -> Path:
        """The socket at which schedulers wait."""
        return self.path / "gate"

    @property
    def service(self) -> Path:
        """libpq's service file with the login of the epoch."""
        return self.path / "pg_service.conf"

    @property
    def state(self) -> Path:
        """What `clean-up` has to release: holder and epoch."""
        return self.path / "state.json"

    @property
    def lock(self) -> Path:
        """Held by the one controller of the host."""
        return self.path / "lock"


def identity(layout: Layout) -> tuple[str, str]:
    """This host's name among controllers (the instance's id where it has one), and its environment."""
    try:
        known = json.loads(layout.instance_json.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    return str(known.get("instance_id") or socket.gethostname()), str(known.get("environment") or "")


def environment(layout: Layout) -> dict[str, str]:
    """What the boot path wrote, for a command that a person gives; a unit has it already."""
    if os.environ.get(PASSWORD):
        return dict(os.environ)
    found = dict(os.environ)
    for path in (layout.run_env, layout.run_env.with_name("admin.env")):
        try:
            found |= envfile.read(path)
        except FileNotFoundError:
            raise NotReadyError(f"{path}: not there yet: look at `systemctl status airkiln-boot`") from None
        except OSError as error:
            raise NotPermittedError(f"{path}: cannot be read ({error.strerror}): use sudo") from None
    return found


def keywords(variables: Mapping[str, str]) -> dict[str, str]:
    """libpq's keywords of the controller's login. RefusedError names what is missing."""
    problems = [
        f"{name}: missing: set it as a parameter of the environment"
        for name in (DATABASE, PASSWORD)
        if not variables.get(name)
    ]
    if problems:
        raise RefusedError(problems)
    return parse(variables[DATABASE]).keywords(USER, variables[PASSWORD])


def service_entry(variables: Mapping[str, str], user: str, password: str) -> str:
    """The service file with which the scheduler logs in."""
    entry = parse(variables[DATABASE]).keywords(user, password)
    return "\n".join([f"[{SERVICE}]", *(f"{name}={value}" for name, value in entry.items()), ""])
