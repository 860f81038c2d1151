"""Processes that the rehearsal owns: started in control groups of its own, ended by proof of ownership.

A process belongs to a rehearsal when it sits in the control group ``airkiln…`` of that rehearsal, which
its children inherit whatever happens to their parents; process ids alone are never trusted, because
they are reused. Records of a process id carry its start time for the same reason.

Works with a unified (v2) and a hybrid (v1 plus an empty v2) hierarchy. Left out: resource limits of machines.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rehearsal.region import Region, RehearsalError

CGROUP_ROOT = Path("/sys/fs/cgroup")


def run(
    arguments: Sequence[str | Path],
    *,
    check: bool = True,
    timeout: float = 120,
    text: str | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end (at most ``timeout`` seconds) and return its output.

    Raises RehearsalError with the command's own words when it fails and ``check`` is set.
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
        said = (done.stderr or done.stdout).strip()
        raise RehearsalError(f"`{' '.join(words)}` failed with status {done.returncode}: {said}")
    return done


@dataclass(frozen=True)
class Process:
    """A process known by its id and its start time (clock ticks after boot, /proc/PID/stat field 22)."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The process that has this id now, or None."""
        started = start_time(pid)
        return None if started is None else cls(pid, started)

    @classmethod
    def read(cls, path: Path) -> Process | None:
        """The process recorded in a file, if it is still the same one and alive."""
        try:
            record = json.loads(path.read_text())
            found = cls(int(record["pid"]), int(record["started"]))
        except (OSError, ValueError, KeyError):
            return None
        return found if found.alive() else None

    def write(self, path: Path) -> None:
        """Record this process in a file, whole or not at all."""
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(self)))
        temporary.replace(path)

    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return start_time(self.pid) == self.started

    def send(self, number: int) -> None:
        """Send a signal if the process is still the recorded one."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, seconds: float) -> bool:
        """Whether the process ended within that time."""
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True


def start_time(pid: int) -> int | None:
    """Start time of a living process in clock ticks, or None if there is none or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def hierarchies() -> list[Path]:
    """Mount points of the cgroup hierarchies that processes are placed in: v2, and v1's name=systemd."""
    found = [place for place in (CGROUP_ROOT, CGROUP_ROOT / "unified") if (place / "cgroup.procs").exists()]
    unified = [place for place in found if (place / "cgroup.controllers").exists()]
    if not unified:
        raise RehearsalError(
            "No cgroup v2 hierarchy is mounted at /sys/fs/cgroup or /sys/fs/cgroup/unified; "
            "mount one (`mount -t cgroup2 none /sys/fs/cgroup/unified`) or boot without "
            "systemd.unified_cgroup_hierarchy=0."
        )
    legacy = CGROUP_ROOT / "systemd"
    return [*unified, *([legacy] if (legacy / "cgroup.procs").exists() else [])]


class ControlGroup:
    """One control group of a rehearsal, e.g. of its daemon or of one machine, in every hierarchy we use."""

    def __init__(self, region: Region, name: str = "") -> None:
        relative = Path(region.namespace) / name if name else Path(region.namespace)
        self.folders = [hierarchy / relative for hierarchy in hierarchies()]

    def create(self) -> None:
        """Make the group; its parent stays free of processes and hands on what controllers it has."""
        for folder in self.folders:
            folder.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):
                controllers = (folder.parent / "cgroup.controllers").read_text().split()
                wanted = " ".join(f"+{controller}" for controller in controllers)
                (folder.parent / "cgroup.subtree_control").write_text(wanted)

    def join(self) -> None:
        """Move the calling process in; whatever it starts stays in."""
        self.create()
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(os.getpid()))

    def join_commands(self) -> str:
        """The same for a shell: commands that move the shell itself in."""
        self.create()
        return "".join(f"echo $$ > {folder}/cgroup.procs\n" for folder in self.folders)

    def processes(self) -> set[int]:
        """Ids of the living processes in the group and below it."""
        found: set[int] = set()
        for folder in self.folders:
            for group, _, _ in os.walk(folder):  # passes over groups that vanish meanwhile
                with contextlib.suppress(OSError):
                    found.update(int(line) for line in Path(group, "cgroup.procs").read_text().split())
        return {pid for pid in found if start_time(pid) is not None}

    def end(self, *, grace: float = 0.0) -> None:
        """End every process in the group (SIGTERM, ``grace`` seconds, SIGKILL) and remove the group."""
        deadline = time.monotonic() + grace
        if grace:
            self._signal(signal.SIGTERM)
            while self.processes() and time.monotonic() < deadline:
                time.sleep(0.05)
        stop = time.monotonic() + 20
        while self.processes():
            self._signal(signal.SIGKILL)
            if time.monotonic() > stop:
                left = ", ".join(str(pid) for pid in sorted(self.processes()))
                raise RehearsalError(f"Processes {left} in {self.folders[0]} do not end, even by SIGKILL.")
            time.sleep(0.02)
        self._remove()

    def exists(self) -> bool:
        """Whether any part of the group is left."""
        return any(folder.exists() for folder in self.folders)

    def _signal(self, number: int) -> None:
        for pid in self.processes() - {os.getpid()}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _remove(self) -> None:
        for folder in self.folders:
            for _ in range(100):
                if _remove_tree(folder):
                    break
                time.sleep(0.02)


def _remove_tree(folder: Path) -> bool:
    """Remove a cgroup and its children, deepest first; False while a dying process still holds one."""
    if not folder.exists():
        return True
    try:
        for child in _children(folder):
            child.rmdir()
        folder.rmdir()
    except OSError:
        return False
    return True


def _children(folder: Path) -> Iterator[Path]:
    for path, folders, _ in os.walk(folder, topdown=False):
        for name in folders:
            yield Path(path) / name
