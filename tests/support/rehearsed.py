"""A rehearsal that one command of ``python -m rehearsal`` has made, for the tests that look at what it left.

It is of the tests' own. With AIRKILN_KEEP=1 it is left running for their next run.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, TypeVar

from rehearsal.aws import session
from rehearsal.commands.logs import logs
from rehearsal.deployment.airflow_api import Airflow
from rehearsal.errors import RehearsalError
from rehearsal.region import REPOSITORY, Region
from tests.support.ports import free_port

ADDRESS = re.compile(r"^Airflow +(https?://127\.0\.0\.1:\d+)$", re.MULTILINE)
LOGIN = re.compile(r"^login +(\S+) / (\S+)$", re.MULTILINE)
STAGE = re.compile(r"^\[(\d+)/(\d+)\] (\S.*?) {2,}\d+\.\d s(?:  (.+))?$", re.MULTILINE)
LINES = 40
"""How much of each machine's journal a failure shows."""
LONGEST = 1500
"""Seconds for the command: a bake beside other tests."""


@dataclass
class Rehearsed:
    """A rehearsal, and what the command that made it has printed."""

    command: ClassVar[tuple[str, ...]]
    """Of ``python -m rehearsal``, without the port."""

    region: Region
    port: int = field(default_factory=free_port)
    output: str = ""

    @property
    def words(self) -> list[str]:
        """The arguments of Python that run the command."""
        return ["-m", "rehearsal", *self.command, "--port", str(self.port)]

    def make(self) -> None:
        """Make the rehearsal."""
        self.output = self.run()

    def run(self) -> str:
        """Run the command; returns what it prints."""
        done = subprocess.run(
            [sys.executable, *self.words],
            cwd=REPOSITORY,
            env=self.variables,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONGEST,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    @property
    def variables(self) -> dict[str, str]:
        """Variables by which a command finds this rehearsal."""
        return os.environ | {"AIRKILN_REHEARSAL": self.region.name}

    @property
    def url(self) -> str:
        """The printed address."""
        found = ADDRESS.search(self.output)
        assert found, self.output
        return found[1]

    @property
    def login(self) -> tuple[str, str]:
        """The printed login."""
        found = LOGIN.search(self.output)
        assert found, self.output
        return found[1], found[2]

    @cached_property
    def airflow(self) -> Airflow:
        """Airflow's API as the user of the printed address and login has it."""
        return Airflow(self.url, *self.login)


Made = TypeVar("Made", bound=Rehearsed)


@contextmanager
def rehearsed(made: Made) -> Iterator[Made]:
    """Make a rehearsal anew for the tests of a block, and remove it after them unless it is to be kept.

    Where it could not be made, the error has the end of the machines' journals.
    """
    keep = bool(os.environ.get("AIRKILN_KEEP"))
    if not keep:
        session.down(made.region)
    try:
        try:
            made.make()
        except Exception as failure:
            failure.add_note(_journals(made.region))
            raise
        yield made
    finally:
        if not keep:
            session.down(made.region)


def _journals(region: Region) -> str:
    said = io.StringIO()
    with suppress(RehearsalError):
        logs(region, "", lines=LINES, follow=False, out=said)
    return said.getvalue()
