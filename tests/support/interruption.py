"""Commands that a test interrupts half-way."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

from rehearsal.region import REPOSITORY, Region
from tests.support.waiting import until


def interrupted_like_a_terminal_does(process: subprocess.Popen[str]) -> None:
    """Ctrl-C reaches every process of the foreground group."""
    os.killpg(process.pid, signal.SIGINT)


def killed(process: subprocess.Popen[str]) -> None:
    """Only the one that was started; nothing is told to its children."""
    process.kill()


@contextlib.contextmanager
def started(region: Region, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of the rehearsal, at the head of a process group of its own as a shell starts it.

    It hears Ctrl-C also where the tests themselves run in the background and were started deaf to it.
    """
    with subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, *arguments],
        cwd=REPOSITORY,
        env=os.environ | {"AIRKILN_REHEARSAL": region.name},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(holds: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 400) -> None:
    def reached() -> bool:
        assert process.poll() is None, f"it ended by itself: {process.communicate()[0]}"
        return holds()

    until(reached, "the moment at which the test ends the process", seconds)
