"""The generations of the worker, as systemd has them, and what is asked of it. One systemctl a look.

systemctl run by root speaks to systemd itself and needs no message bus: it goes on working while the machine
shuts down.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from airkiln.errors import AirkilnError
from airkiln.lifecycle.model import Stage, Unit
from airkiln.roles import worker_unit
from airkiln.systemd.journal import WARNING, say

PATTERN = worker_unit("*")
PROPERTIES = (
    "Id",
    "ActiveState",
    "Result",
    "ActiveExitTimestampMonotonic",
    "InactiveExitTimestampMonotonic",
    "StateChangeTimestampMonotonic",
    "TimeoutStopUSec",
)
LIMIT = 10.0
"""Seconds for one systemctl."""

_NAME = re.compile(re.escape(worker_unit("\0")).replace("\0", r"([0-9]+)"))
_STAGES = {"inactive": Stage.ENDED, "failed": Stage.ENDED, "deactivating": Stage.STOPPING}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|min|h|d|w|month|y)")
_SECONDS = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
    "month": 2629800.0,
    "y": 31557600.0,
}


class Units:
    """systemd's side."""

    def __init__(self, run: Callable[..., str] | None = None) -> None:
        self._run = run or systemctl

    def look(self) -> tuple[Unit, ...]:
        """Every generation that systemd knows. AirkilnError when it does not answer."""
        shown = self._run("show", PATTERN, f"--property={','.join(PROPERTIES)}")
        skew = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
        return parse(shown, skew)

    def stop(self, generations: Iterable[int]) -> None:
        """SIGTERM to the main process of each: Celery takes no more and waits for what runs."""
        self._ask("stop", "--no-block", *(worker_unit(each) for each in generations))

    def kill(self, generations: Iterable[int]) -> None:
        """SIGKILL to every process of each."""
        self._ask("kill", "--signal=SIGKILL", *(worker_unit(each) for each in generations))

    def _ask(self, *arguments: str) -> None:
        try:
            self._run(*arguments)
        except AirkilnError as error:
            say(f"event=systemctl-failed reason={error}", WARNING)


def systemctl(*arguments: str) -> str:
    """Run systemctl; what it printed. AirkilnError with its own words when it fails."""
    command = ["systemctl", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AirkilnError(f"{' '.join(command)}: could not be run ({type(error).__name__})") from None
    if done.returncode != 0:
        raise AirkilnError(f"{' '.join(command)}: {' '.join(done.stderr.split()) or 'failed'}")
    return done.stdout


def parse(shown: str, skew: float) -> tuple[Unit, ...]:
    """The units in what `systemctl show` printed. `skew`: CLOCK_BOOTTIME less CLOCK_MONOTONIC, in seconds."""
    found = []
    for block in shown.split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        name = _NAME.fullmatch(values.get("Id", ""))
        if name is not None:
            found.append(_unit(int(name[1]), values, skew))
    return tuple(sorted(found, key=lambda unit: unit.generation))


def _unit(generation: int, values: Mapping[str, str], skew: float) -> Unit:
    state = values.get("ActiveState", "")
    stage = _STAGES.get(state, Stage.RUNNING)
    left = _moment(values, "ActiveExitTimestampMonotonic")
    if left <= _moment(values, "InactiveExitTimestampMonotonic"):
        left = _moment(values, "StateChangeTimestampMonotonic")  # it never was active in this run
    return Unit(
        generation,
        stage,
        since=left + skew if stage is Stage.STOPPING else None,
        limit=span(values.get("TimeoutStopUSec", "infinity")),
        failed=state == "failed",
    )


def _moment(values: Mapping[str, str], name: str) -> float:
    return int(values.get(name) or 0) / 1e6


def span(text: str) -> float:
    """Seconds of a time span as systemd prints one ("12h", "1min 30s", "infinity")."""
    if text.strip() == "infinity":
        return float("inf")
    return sum(float(number) * _SECONDS[unit] for number, unit in _SPAN.findall(text))


def generation_of(pid: int, proc: Path = Path("/proc")) -> int | None:
    """The generation of the worker whose control group a process is in; None if it is in none, or gone."""
    try:
        groups = (proc / str(pid) / "cgroup").read_text(encoding="utf-8")
    except OSError:
        return None
    for part in groups.replace("\n", "/").split("/"):
        if name := _NAME.fullmatch(part):
            return int(name[1])
    return None
