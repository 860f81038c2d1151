"""Lines for the journal.

A line goes to standard error. Under systemd it carries the priority prefix of sd-daemon(3), which the journal
removes; on a terminal it does not. Callers pass sentences, never the value of a parameter.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Final

ERROR: Final = 3
WARNING: Final = 4
NOTICE: Final = 5
INFO: Final = 6


def _to_the_journal() -> bool:
    """Whether standard error is what JOURNAL_STREAM names (device:inode); a child's may be elsewhere."""
    try:
        found = os.fstat(2)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def say(message: str, priority: int = INFO) -> None:
    """Write each line of `message` to the journal (or the terminal) at `priority` (syslog's numbers)."""
    prefix = f"<{priority}>" if _to_the_journal() else ""
    for line in message.splitlines() or [""]:
        sys.stderr.write(f"{prefix}{line}\n")
    sys.stderr.flush()


class RateLimit:
    """Lines about failures that repeat: one line of each kind in `every` seconds."""

    def __init__(self, every: float = 600.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._every, self._clock = every, clock
        self._said_at: dict[str, float] = {}

    def say(self, kind: str, message: str, priority: int = WARNING) -> bool:
        """Write `message` unless a line of this kind was written within the interval; whether it was."""
        now = self._clock()
        if kind in self._said_at and now - self._said_at[kind] < self._every:
            return False
        self._said_at[kind] = now
        say(message, priority)
        return True
