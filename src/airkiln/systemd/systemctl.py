"""systemctl: run and waited for, or run beside a loop that waits for nothing.

systemctl that root runs speaks to systemd itself, without a message bus: it works while the machine shuts
down.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections import deque
from contextlib import suppress

from airkiln.errors import AirkilnError
from airkiln.systemd.journal import ERROR, WARNING, say

TIMEOUT = 30.0
"""Seconds for one systemctl. It queues a job or shows properties; no job is waited for."""
JOB_TIMEOUT = 10.0
"""Seconds for one systemctl of a JobQueue, whose next job waits for it."""


def systemctl(*arguments: str, timeout: float = TIMEOUT) -> str:
    """Run systemctl and return what it printed.

    Raises AirkilnError with systemctl's own words when it fails, cannot be run or exceeds `timeout` seconds.
    """
    command = f"systemctl {' '.join(arguments)}"
    try:
        done = subprocess.run(
            ["systemctl", *arguments], capture_output=True, text=True, timeout=timeout, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AirkilnError(
            f"{command}: could not be run ({type(error).__name__}): look at `systemctl status`"
        ) from None
    if done.returncode != 0:
        reason = " ".join(done.stderr.split()) or "no reason given"
        raise AirkilnError(
            f"{command}: failed: {reason}: look at `systemctl list-units 'airkiln*' 'airflow*'`"
        )
    return done.stdout


def show(unit: str, *properties: str, timeout: float = TIMEOUT) -> list[dict[str, str]]:
    """Properties of the unit, or of each unit that systemd has loaded and that matches a pattern.

    Raises AirkilnError as `systemctl` does.
    """
    shown = systemctl("show", unit, f"--property={','.join(properties)}", timeout=timeout)
    return parse(shown)


def parse(shown: str) -> list[dict[str, str]]:
    """The properties in what `systemctl show` printed: one dictionary for each unit."""
    blocks = (block.splitlines() for block in shown.split("\n\n"))
    units = (dict(line.split("=", 1) for line in block if "=" in line) for block in blocks)
    return [unit for unit in units if unit]


_IS_FAILED = "is-failed"


class JobQueue:
    """Jobs that run beside a loop: one systemctl at a time, in order. `advance` reaps and starts them."""

    def __init__(self, command: tuple[str, ...] = ("systemctl", "--no-block", "--quiet")) -> None:
        self._command = command
        self._waiting: deque[tuple[str, str]] = deque()
        self._process: subprocess.Popen[bytes] | None = None
        self._job = ("", "")
        self._began = 0.0
        self._refused: set[str] = set()

    @property
    def busy(self) -> bool:
        """Whether `advance` must be called again soon."""
        return self._process is not None or bool(self._waiting)

    def request(self, verb: str, unit: str) -> None:
        """Queue a job, such as ("start", "x.service"). It replaces a waiting job for the same unit."""
        self._waiting = deque(each for each in self._waiting if each[1] != unit)
        self._waiting.append((verb, unit))
        self.advance()

    def retry(self, unit: str) -> None:
        """Have a unit started again if its last start failed; nothing where it runs or was stopped."""
        if unit in self._refused:
            self.request("start", unit)
        elif unit not in (each[1] for each in self._waiting):
            self._waiting.append((_IS_FAILED, unit))
            self.advance()

    def advance(self) -> None:
        """Reap the systemctl that ended, kill one that exceeds the timeout, and start the next job."""
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                if time.monotonic() - self._began > JOB_TIMEOUT:
                    with suppress(OSError):
                        self._process.send_signal(signal.SIGKILL)
                return
            self._process = None
            self._ended(*self._job, code)
        if self._waiting:
            self._job = self._waiting.popleft()
            self._began = time.monotonic()
            try:
                self._process = subprocess.Popen([*self._command, *self._job], stdin=subprocess.DEVNULL)
            except OSError as error:
                say(f"event=systemctl-failed unit={self._job[1]} reason={error.strerror}", ERROR)
                if self._job[0] == "start":
                    self._refused.add(self._job[1])

    def _ended(self, verb: str, unit: str, code: int) -> None:
        if verb == _IS_FAILED:
            # A job that was requested meanwhile, such as a stop, is what counts.
            if code == 0 and unit not in (each[1] for each in self._waiting):
                say(f"event=start-retried unit={unit} reason=it had failed", WARNING)
                self._waiting.append(("start", unit))
            return
        self._refused.discard(unit)
        if code:
            say(f"event=systemctl-failed unit={unit} reason={verb} ended with {code}", WARNING)
            if verb == "start":
                self._refused.add(unit)
