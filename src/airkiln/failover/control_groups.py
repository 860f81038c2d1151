"""The control groups of the leader's units on this host (cgroup v2, cgroups(7)): killed as a whole."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from airkiln.roles import LEADER_UNITS
from airkiln.systemd.journal import ERROR, say

SYSTEM = Path("/sys/fs/cgroup/system.slice")


class ControlGroups:
    """The control groups of the leader's units. No method waits."""

    def __init__(self, root: Path = SYSTEM, proc: Path = Path("/proc")) -> None:
        self._root, self._proc = root, proc
        self._killed: dict[int, str] = {}

    def kill(self) -> None:
        """Kill every process of them. A second call kills what has come since as well."""
        for unit in LEADER_UNITS:
            folder = self._root / unit
            for each in self._processes(folder):
                if began := self._began(each):  # nothing: it ended by itself meanwhile
                    self._killed[each] = began
            try:
                (folder / "cgroup.kill").write_text("1", encoding="ascii")
            except FileNotFoundError:
                continue  # the unit does not run
            except OSError as error:
                say(f"event=kill-failed unit={unit} reason={error.strerror}", ERROR)

    def killed(self) -> bool:
        """Whether what was killed is gone; systemd may have started a successor meanwhile."""
        gone = [each for each, began in self._killed.items() if self._began(each) != began]
        for each in gone:
            del self._killed[each]
        return not self._killed

    def _processes(self, folder: Path) -> list[int]:
        found: list[int] = []
        for below, _, _ in os.walk(folder):  # which passes over a group that goes meanwhile
            with suppress(OSError):
                found += map(int, (Path(below) / "cgroup.procs").read_text(encoding="ascii").split())
        return found

    def _began(self, pid: int) -> str:
        """When the process began (so that no other is taken for it); nothing where it ended."""
        try:
            fields = (self._proc / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in "ZX" else fields[19]
