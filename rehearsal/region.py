"""Names and folders of one rehearsal.

Several rehearsals can run side by side: ``AIRKILN_REHEARSAL`` names one, and every namespace, control group
and folder of it carries that name.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from rehearsal.errors import RehearsalError

REPOSITORY = Path(__file__).resolve().parent.parent

NAME_VARIABLE = "AIRKILN_REHEARSAL"
"""Names the rehearsal that a command is for."""
PORT_VARIABLE = "AIRKILN_PORT"
"""Names the port of the UI on 127.0.0.1, as in ``make rehearse AIRKILN_PORT=8081``."""


@dataclass(frozen=True)
class Region:
    """Names and folders of one rehearsal."""

    name: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]{0,12}", self.name):
            raise RehearsalError(
                f"{self.name!r} is not a name for a rehearsal: use at most 12 lower-case letters and "
                f"digits in {NAME_VARIABLE}."
            )

    @property
    def namespace(self) -> str:
        """Name of the region's network namespace, as ``ip netns list`` shows it."""
        return f"airkiln-{self.name}" if self.name else "airkiln"

    def machine_namespace(self, machine: str) -> str:
        """Name of the network namespace of one machine."""
        return f"ak.{self.name}-{machine}" if self.name else f"ak-{machine}"

    @property
    def home(self) -> Path:
        """Folder of everything that belongs to this rehearsal alone."""
        return REPOSITORY / "build" / (f"rehearsal-{self.name}" if self.name else "rehearsal")

    @property
    def cache(self) -> Path:
        """Folder of what all rehearsals of this checkout share: the root filesystem and layers above it."""
        return REPOSITORY / "build" / "rehearsal"

    @property
    def machines(self) -> Path:
        """Folder with one folder for each machine."""
        return self.home / "machines"

    @property
    def images(self) -> Path:
        """Folder of the layers that CreateImage made, and their catalogue."""
        return self.home / "images"

    @property
    def run(self) -> Path:
        """Folder of process records and sockets; ``down`` deletes it."""
        return self.home / "run"

    @property
    def logs(self) -> Path:
        """Folder of log files, which ``down`` leaves."""
        return self.home / "logs"

    def make(self, *words: str) -> str:
        """The command line of a target of the Makefile for this rehearsal, as error messages name it.

        :param words: the target, and variables such as ``SIZE=one``.
        """
        name = [f"{NAME_VARIABLE}={self.name}"] if self.name else []
        return f"`{' '.join(['make', *words, *name])}`"

    def prepare(self) -> None:
        """Make the folders. Other users cannot enter them, because they hold keys and disks."""
        for folder in (self.home, self.machines, self.images, self.run, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        self.home.chmod(0o700)


def current() -> Region:
    """Return the rehearsal that ``AIRKILN_REHEARSAL`` names; without it, the unnamed one."""
    return Region(os.environ.get(NAME_VARIABLE, ""))
