"""Builds Packer in the background, while the rehearsal builds root filesystems.

The Makefile's target `tools` decides whether there is anything to build, and packer/tools/install.sh does it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rehearsal.deployment import bake
from rehearsal.progress import Stages
from rehearsal.region import REPOSITORY, Region
from rehearsal.waiting import wait_until

LIMIT = 1800
"""Seconds for the build: Go's compiler on one slow core."""
COMMAND = ("make", "--no-print-directory", "tools")
MAKES_OWN = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
"""Variables of a make that started this process; the jobs of that one are not ours."""


class PackerBuild:
    """A build that runs."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.log = log
        self._process = process
        self._began = time.monotonic()

    def ended(self) -> bool:
        """Whether the build has ended."""
        return self._process.poll() is not None

    def wait(self, stages: Stages) -> None:
        """Wait until the build has ended, and show its steps. A failure is remarked and not raised."""

        def ended() -> bool:
            stages.step(_last_line(self.log))
            return self.ended()

        took = wait_until("Packer is built", ended, LIMIT, f"See {self.log}.") - self._began
        if self._process.returncode:
            stages.remark(f"cannot be built here, see {self.log}")
        elif took > 1:
            stages.remark(f"built within {took:.0f} s, beside the stages above")
        else:
            stages.remark("built before")

    def end(self) -> None:
        """End the build with everything that it started, if it still runs."""
        if not self.ended():
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait()


@contextmanager
def build_in_background(region: Region, command: Sequence[str] = COMMAND) -> Iterator[PackerBuild | None]:
    """Start the build; it ends with the block. None if $PACKER names a Packer of the user's own."""
    used = bake.packer()
    if used is not None and used.resolve() != bake.BUILT_PACKER.resolve():
        yield None
        return
    log = region.logs / "packer.log"
    variables = {name: value for name, value in os.environ.items() if name not in MAKES_OWN}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    build = PackerBuild(process, log)
    try:
        yield build
    finally:
        build.end()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return lines[-1] if lines else "starts"
