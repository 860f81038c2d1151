"""A testinfra backend that enters a machine of the rehearsal from the host, as root and without SSH.

`image_cleanup` takes the build user's key away, as it has to; the machine is then looked at from outside.
"""

from __future__ import annotations

import shlex

from testinfra.backend import BACKENDS
from testinfra.backend.base import BaseBackend, CommandResult

from rehearsal.aws.instances import find_machine
from rehearsal.region import current


class RehearsalBackend(BaseBackend):
    """`--hosts=rehearsal://INSTANCE`; the tests run as root on the host."""

    NAME = "rehearsal"

    def run(self, command: str, *args: str, **_: object) -> CommandResult:
        """Run one shell command inside the machine."""
        machine = find_machine(current(), self.hostname)
        entered = machine.inside("/bin/sh", "-c", self.get_command(command, *args))
        return self.run_local(shlex.join(entered))


def register() -> None:
    """Make the backend known to testinfra."""
    BACKENDS[RehearsalBackend.NAME] = f"{__name__}.{RehearsalBackend.__name__}"
