"""What the benchmarks that need machines share: a rehearsal of their own, and an end to their instances."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator

from rehearsal.aws import session
from rehearsal.aws.client import client
from rehearsal.aws.instances import find_machine
from rehearsal.errors import RehearsalError
from rehearsal.linux.machine import Machine
from rehearsal.linux.network import Network
from rehearsal.region import Region

NAME = "bench"
"""The rehearsal that is used where AIRKILN_REHEARSAL names none, so that `make rehearse`'s is left alone."""
GONE = 60
"""Seconds until a terminated instance must have gone; an orderly power-off takes one to five."""


@contextlib.contextmanager
def region(*, keep: bool = False) -> Iterator[Region]:
    """A rehearsal with its local AWS, and the caller inside its network; taken down at the end.

    :param keep: leave it running, to look at it.
    """
    name = os.environ.setdefault("AIRKILN_REHEARSAL", NAME)
    found = Region(name)
    try:
        session.start(found)
        with Network(found).visit():
            yield found
    except RehearsalError as problem:
        raise SystemExit(f"benchmark: {problem}") from problem
    finally:
        if not keep:
            session.down(found)


@contextlib.contextmanager
def instance(found: Region, name: str) -> Iterator[Machine]:
    """The machine of an instance, terminated at the end, and waited for: the next run must not hear it."""
    try:
        yield find_machine(found, name)
    finally:
        client("ec2").terminate_instances(InstanceIds=[name])
        deadline = time.monotonic() + GONE
        while (found.machines / name).exists():
            if time.monotonic() > deadline:
                raise RehearsalError(f"Instance {name} was terminated and has not gone within {GONE} s.")
            time.sleep(0.1)


def say(text: str) -> None:
    """One line to whoever waits."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
