"""The leader's units on this host: killed as control groups, started and stopped through systemd.

Nothing here waits: systemctl runs beside the loop, one at a time and in order, and is reaped by it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from airkiln.roles import LEADER_UNITS
from airkiln.systemd.journal import ERROR, WARNING, say

SYSTEM = Path("/sys/fs/cgroup/system.slice")
SYSTEMCTL_LIMIT = 10.0
"""Seconds for a job to be queued."""


class Groups:
    """The control groups of the leader's units (cgroup v2, man 7 cgroups)."""

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


class Units:
    """systemctl beside the loop."""

    def __init__(self, command: tuple[str, ...] = ("systemctl", "--no-block", "--quiet")) -> None:
        self._command = command
        self._wanted: deque[tuple[str, str]] = deque()
        self._running: subprocess.Popen[bytes] | None = None
        self._what = ("", "")
        self._began = 0.0

    @property
    def busy(self) -> bool:
        """Whether `go_on` must be called again soon."""
        return self._running is not None or bool(self._wanted)

    def ask(self, verb: str, unit: str) -> None:
        """Have `verb` done with `unit` after what was asked before. The last word about a unit counts."""
        self._wanted = deque(each for each in self._wanted if each[1] != unit)
        self._wanted.append((verb, unit))
        self.go_on()

    def go_on(self) -> None:
        """Reap what ended and begin what waits."""
        if self._running is not None:
            code = self._running.poll()
            if code is None:
                if time.monotonic() - self._began > SYSTEMCTL_LIMIT:
                    self._running.send_signal(signal.SIGKILL)
                return
            if code:
                verb, unit = self._what
                say(f"event=systemctl-failed unit={unit} reason={verb} ended with {code}", WARNING)
            self._running = None
        if self._wanted:
            self._what = self._wanted.popleft()
            self._began = time.monotonic()
            try:
                self._running = subprocess.Popen([*self._command, *self._what], stdin=subprocess.DEVNULL)
            except OSError as error:
                say(f"event=systemctl-failed unit={self._what[1]} reason={error.strerror}", ERROR)
