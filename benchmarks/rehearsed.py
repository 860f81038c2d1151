"""What measurements on machines share: a rehearsal of their own, and the end of their instances."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from rehearsal.aws import session
from rehearsal.aws.client import client
from rehearsal.aws.instances import find_machine
from rehearsal.errors import RehearsalError
from rehearsal.linux.machine import Machine
from rehearsal.linux.network import Network
from rehearsal.region import Region
from rehearsal.waiting import wait_until

NAME = "bench"
"""The rehearsal that is used unless AIRKILN_REHEARSAL names another: not the one of `make rehearse`."""
GONE = 60
"""Seconds until a terminated instance must be gone; a power-off takes one to five."""


@contextlib.contextmanager
def region(*, keep: bool = False, name: str = NAME, command: str = "benchmark") -> Iterator[Region]:
    """A rehearsal with its emulated AWS, and the caller inside its network; taken down at the end.

    :param keep: leave it running.
    :param name: of the rehearsal, unless AIRKILN_REHEARSAL gives one.
    :param command: what an error message begins with.
    """
    found = Region(os.environ.setdefault("AIRKILN_REHEARSAL", name))
    try:
        session.start(found)
        with Network(found).visit():
            yield found
    except RehearsalError as problem:
        raise SystemExit(f"{command}: {problem}") from problem
    finally:
        if not keep:
            session.down(found)


@contextlib.contextmanager
def instance(found: Region, name: str) -> Iterator[Machine]:
    """The machine of an instance; at the end it is terminated, and waited for until it is gone."""
    try:
        yield find_machine(found, name)
    finally:
        client("ec2").terminate_instances(InstanceIds=[name])
        folder = found.machines / name
        wait_until(f"the terminated instance {name} is gone", lambda: not folder.exists(), GONE)


def say(text: str) -> None:
    """Print one line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
