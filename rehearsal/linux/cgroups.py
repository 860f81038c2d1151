"""Control groups of a rehearsal: every process that it starts is in one, and is ended through it.

Children inherit the control group whatever happens to their parents; process ids alone are never trusted,
because they are reused. Works with a unified (v2) and a hybrid (v1 plus an empty v2) hierarchy. Left out:
resource limits of machines.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from rehearsal.errors import RehearsalError
from rehearsal.linux.processes import start_time
from rehearsal.region import Region

CGROUP_ROOT = Path("/sys/fs/cgroup")


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
