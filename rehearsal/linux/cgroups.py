"""Control groups of a rehearsal. Every process that it starts is in one, and is ended through it.

Children inherit the control group, also when their parents have ended. This works with the unified hierarchy
(v2) and with the hybrid one (v1, and a v2 hierarchy without controllers).

A rehearsal that is started with `nice` gives way as a whole. The nice value of its processes alone would not
do that: systemd starts each service in a session of its own, and the kernel shares the processor between
control groups, or else between sessions (/proc/sys/kernel/sched_autogroup_enabled), before it looks at nice
values.

Left out: resource limits of machines.
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
CPU = CGROUP_ROOT / "cpu"
"""v1's controller of the processor, where that version has it."""
SHARES = 1024
"""cpu.shares of a v1 group whose processes have the nice value 0."""


def hierarchies() -> list[Path]:
    """Return the mount points of the hierarchies in use: v2, and v1's name=systemd where it exists.

    :raises RehearsalError: no v2 hierarchy is mounted.
    """
    found = [path for path in (CGROUP_ROOT, CGROUP_ROOT / "unified") if (path / "cgroup.procs").exists()]
    unified = [path for path in found if (path / "cgroup.controllers").exists()]
    if not unified:
        raise RehearsalError(
            "No cgroup v2 hierarchy is mounted at /sys/fs/cgroup or /sys/fs/cgroup/unified; "
            "mount one (`mount -t cgroup2 none /sys/fs/cgroup/unified`) or boot without "
            "systemd.unified_cgroup_hierarchy=0."
        )
    legacy = CGROUP_ROOT / "systemd"
    return [*unified, *([legacy] if (legacy / "cgroup.procs").exists() else [])]


class ControlGroup:
    """A control group of a rehearsal, such as that of its daemon or of one machine, in every hierarchy."""

    def __init__(self, region: Region, name: str = "") -> None:
        self.folders = [hierarchy / region.namespace / name for hierarchy in hierarchies()]
        """The group in each hierarchy that tells which processes are in it."""
        self._name, self._of_region = name, region.namespace

    def create(self) -> None:
        """Make the group, and enable the parent's controllers in it.

        The rehearsal's share of the processor is that of the calling process's nice value.
        """
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        for folder in self.folders:
            folder.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):
                controllers = (folder.parent / "cgroup.controllers").read_text().split()
                wanted = " ".join(f"+{controller}" for controller in controllers)
                (folder.parent / "cgroup.subtree_control").write_text(wanted)
        for hierarchy in hierarchies():
            weight = hierarchy / self._of_region / "cpu.weight.nice"
            if weight.exists():
                weight.write_text(f"{nice}\n")
        if nice and (CPU / "cpu.shares").exists():
            (CPU / self._of_region / self._name).mkdir(parents=True, exist_ok=True)
            (CPU / self._of_region / "cpu.shares").write_text(f"{round(SHARES / 1.25**nice)}\n")

    def join(self) -> None:
        """Move the calling process into the group; processes that it starts later are in it too."""
        self.create()
        for folder in self.existing():
            (folder / "cgroup.procs").write_text(str(os.getpid()))

    def join_commands(self) -> str:
        """Make the group and return shell commands that move the shell into it."""
        self.create()
        return "".join(f"echo $$ > {folder}/cgroup.procs\n" for folder in self.existing())

    def processes(self) -> set[int]:
        """Return the ids of the running processes in the group and in groups below it."""
        found: set[int] = set()
        for folder in self.folders:
            for group, _, _ in os.walk(folder):  # passes over groups that vanish meanwhile
                with contextlib.suppress(OSError):
                    found.update(int(line) for line in Path(group, "cgroup.procs").read_text().split())
        return {pid for pid in found if start_time(pid) is not None}

    def end(self, *, grace: float = 0.0) -> None:
        """End every process in the group and remove the group.

        :param grace: seconds between SIGTERM and SIGKILL; with 0 only SIGKILL is sent.
        :raises RehearsalError: processes remain 20 s after SIGKILL.
        """
        deadline = time.monotonic() + grace
        if grace:
            self.send(signal.SIGTERM)
            while self.processes() and time.monotonic() < deadline:
                time.sleep(0.05)
        stop = time.monotonic() + 20
        while self.processes():
            self.send(signal.SIGKILL)
            if time.monotonic() > stop:
                left = ", ".join(str(pid) for pid in sorted(self.processes()))
                raise RehearsalError(
                    f"Processes {left} in {self.folders[0]} did not end after SIGKILL; see `ps -o wchan`."
                )
            time.sleep(0.02)
        self._remove()

    def exists(self) -> bool:
        """Return whether the group exists in any hierarchy."""
        return bool(self.existing())

    def send(self, number: int) -> None:
        """Send a signal to every process in the group but this one.

        A process that ends meanwhile, such as one that a killed process takes with it, is passed over.
        """
        for pid in self.processes() - {os.getpid()}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def existing(self) -> list[Path]:
        """Return the folders of the group that exist, of all hierarchies."""
        known = [*self.folders, CPU / self._of_region / self._name]
        return [folder for folder in known if folder.exists()]

    def _remove(self) -> None:
        for folder in self.existing():
            for _ in range(100):
                if _remove_tree(folder):
                    break
                time.sleep(0.02)


def _remove_tree(folder: Path) -> bool:
    """Remove a group and those below it. Return False while an ending process still is in one."""
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
