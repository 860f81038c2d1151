"""The control groups of the leader's units on this host (cgroup v2, cgroups(7)): killed as a whole."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from airkiln.host.processes import PROC, stat
from airkiln.roles import LEADER_UNITS
from airkiln.systemd.journal import ERROR, say

SYSTEM = Path("/sys/fs/cgroup/system.slice")


class ControlGroups:
    """The control groups of the leader's units. No method waits."""

    def __init__(self, root: Path = SYSTEM, proc: Path = PROC) -> None:
        self._root, self._proc = root, proc
        self._killed: dict[int, int] = {}

    def kill(self) -> None:
        """Kill every process of them. A second call kills what has come since as well."""
        for unit in LEADER_UNITS:
            folder = self._root / unit
            for each in self._processes(folder):
                if (started := self._started(each)) is not None:
                    self._killed[each] = started
            try:
                (folder / "cgroup.kill").write_text("1", encoding="ascii")
            except FileNotFoundError:
                continue  # the unit does not run
            except OSError as error:
                say(f"event=kill-failed unit={unit} reason={error.strerror}", ERROR)

    def killed(self) -> bool:
        """Whether what was killed is gone; systemd may have started a successor meanwhile."""
        gone = [each for each, started in self._killed.items() if self._started(each) != started]
        for each in gone:
            del self._killed[each]
        return not self._killed

    def _processes(self, folder: Path) -> list[int]:
        found: list[int] = []
        for below, _, _ in os.walk(folder):  # which passes over a group that goes meanwhile
            with suppress(OSError):
                found += map(int, (Path(below) / "cgroup.procs").read_text(encoding="ascii").split())
        return found

    def _started(self, pid: int) -> int | None:
        """When a process was started; None where it has ended."""
        found = stat(pid, self._proc)
        return None if found is None or found.ended else found.started
