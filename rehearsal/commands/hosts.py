"""``python -m rehearsal shell``: finds the machines of a rehearsal as people name them, and opens a shell.

A machine is named by its id, by the end of that, or by its role. Roles are the tags of EC2's instances. The
server of the database has the role ``database``, as in the table of an environment.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from rehearsal.aws import session
from rehearsal.aws.services.rds import postgres
from rehearsal.deployment.instances import ROLE_TAG, present
from rehearsal.errors import RehearsalError
from rehearsal.linux.machine import Machine, machines
from rehearsal.linux.network import Network
from rehearsal.region import Region

SERVER_ROLE = "database"


@dataclass(frozen=True)
class Host:
    """A machine that runs, and its role; empty for an instance without one."""

    name: str
    role: str

    def __str__(self) -> str:
        return f"{self.name} ({self.role})" if self.role else self.name


def running(region: Region) -> list[Host]:
    """The machines that run, by role and name.

    :raises RehearsalError: none runs.
    """
    session.require_root()
    names = [machine.name for machine in machines(region) if machine.running()]
    if not names:
        raise RehearsalError(f"No machine of this rehearsal runs. Start it: {region.make('rehearse')}.")
    roles = {postgres.NAME: SERVER_ROLE} | _roles(region)
    return sorted((Host(name, roles.get(name, "")) for name in names), key=lambda one: (one.role, one.name))


def chosen(hosts: Sequence[Host], word: str) -> list[Host]:
    """The hosts that a word names: those of a role, or the one whose name is or ends with the word.

    :raises RehearsalError: it names none, or its end is that of several names.
    """
    if of_role := [host for host in hosts if host.role == word]:
        return of_role
    if exact := [host for host in hosts if host.name == word]:
        return exact
    found = [host for host in hosts if word and host.name.endswith(word)]
    if len(found) != 1:
        raise RehearsalError(
            f"{word!r} names {len(found)} machines. Give a role, an instance or the end of its id; "
            f"there are: {listed(hosts)}."
        )
    return found


def listed(hosts: Sequence[Host]) -> str:
    """The hosts in one line of an error."""
    return ", ".join(str(host) for host in hosts)


def shell(region: Region, word: str, says: TextIO = sys.stderr) -> int:
    """Open a shell as root on a host; of a role's hosts it is the first.

    :param says: gets a line that names the host, since several have a role.
    :returns: the exit status of the shell.
    """
    hosts = running(region)
    if not word:
        raise RehearsalError(
            f"A shell needs a host: {region.make('rehearse-shell', 'HOST=webserver')}. "
            f"There are: {listed(hosts)}."
        )
    first = chosen(hosts, word)[0]
    says.write(f"{first}; `exit` leaves it\n")
    says.flush()
    return subprocess.run(Machine(region, first.name).inside("bash"), check=False).returncode


def _roles(region: Region) -> dict[str, str]:
    """The roles by instance; none where the emulated AWS is down, though its machines still run."""
    if not session.aws_running(region):
        return {}
    with Network(region).visit():
        return {str(each["InstanceId"]): str(each["tags"].get(ROLE_TAG, "")) for each in present()}
