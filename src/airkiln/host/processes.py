"""What /proc says of a process (proc(5)). Each function takes the folder, so that a test can give its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Stat:
    """A process at one moment, from /proc/<pid>/stat."""

    state: str
    """Such as R, S, T (stopped) or Z (a zombie)."""
    ticks: int
    """User and system time in clock ticks of 10 ms: of all its threads, or of the one that was asked for."""
    started: int
    """When it was started, in ticks since the machine was: it tells processes with the same number apart."""

    @property
    def ended(self) -> bool:
        """Whether nothing but its entry is left."""
        return self.state in "ZX"


def stat(pid: int, proc: Path = PROC) -> Stat | None:
    """The process; None where there is none with this number."""
    try:
        # The name stands in parentheses and may hold anything, parentheses and blanks too.
        fields = (proc / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return Stat(fields[0], int(fields[11]) + int(fields[12]), int(fields[19]))


def main_thread(pid: int, proc: Path = PROC) -> Stat | None:
    """Like `stat`, for the main thread of the process only."""
    return stat(pid, proc / str(pid) / "task")


def control_groups(pid: int, proc: Path = PROC) -> list[str]:
    """The names in the path of the process's control group, such as ["system.slice", "x.service"].

    Raises OSError where the process is gone.
    """
    text = (proc / str(pid) / "cgroup").read_text(encoding="utf-8")
    return [name for line in text.splitlines() for name in line.partition("::")[2].split("/") if name]
