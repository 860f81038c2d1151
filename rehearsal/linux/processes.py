"""Runs commands, and identifies processes by id and start time, because ids are reused."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rehearsal.errors import RehearsalError


def run(
    arguments: Sequence[str | Path],
    *,
    check: bool = True,
    timeout: float = 120,
    text: str | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command and return its output.

    :param timeout: seconds after which the command is killed.
    :param text: standard input.
    :raises RehearsalError: the command is missing, ran too long, or failed while ``check`` is set; with its
    output.
    """
    words = [str(word) for word in arguments]
    try:
        done = subprocess.run(
            words, check=False, capture_output=True, text=True, timeout=timeout, input=text, env=env
        )
    except FileNotFoundError as missing:
        raise RehearsalError(
            f"{words[0]} is not installed; `apt-get install` what rehearsal/debian-packages.txt lists."
        ) from missing
    except subprocess.TimeoutExpired as late:
        raise RehearsalError(f"`{' '.join(words)}` did not end within {timeout:.0f} s.") from late
    if check and done.returncode != 0:
        output = (done.stderr or done.stdout).strip()
        raise RehearsalError(f"`{' '.join(words)}` failed with status {done.returncode}: {output}")
    return done


@dataclass(frozen=True)
class Process:
    """A process, identified by its id and start time (clock ticks since boot, field 22 of /proc/PID/stat)."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """Return the process that has this id now, or None."""
        started = start_time(pid)
        return None if started is None else cls(pid, started)

    @classmethod
    def read(cls, path: Path) -> Process | None:
        """Return the process recorded in a file, or None if it has ended."""
        try:
            record = json.loads(path.read_text())
            found = cls(int(record["pid"]), int(record["started"]))
        except (OSError, ValueError, KeyError):
            return None
        return found if found.alive() else None

    def write(self, path: Path) -> None:
        """Record this process in a file, which is replaced atomically."""
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(self)))
        temporary.replace(path)

    def alive(self) -> bool:
        """Return whether this process still runs. A zombie does not."""
        return start_time(self.pid) == self.started

    def send(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, seconds: float) -> bool:
        """Return whether the process ends within ``seconds``."""
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True


def start_time(pid: int) -> int | None:
    """Return a process's start time in clock ticks, or None if it has ended or is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
