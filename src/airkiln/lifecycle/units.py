"""The generations of the worker, as systemd has them. One systemctl for each observation."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from airkiln.errors import AirkilnError
from airkiln.host.clock import boottime
from airkiln.lifecycle.model import Stage, Unit
from airkiln.roles import worker_unit
from airkiln.systemd import systemctl
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
TIMEOUT = 10.0
"""Seconds for one systemctl: the daemon's watchdog waits for it."""

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
        self._run = run or partial(systemctl.systemctl, timeout=TIMEOUT)

    def observe(self) -> tuple[Unit, ...]:
        """Every generation that systemd has loaded. Raises AirkilnError when systemd does not answer."""
        shown = self._run("show", PATTERN, f"--property={','.join(PROPERTIES)}")
        return parse(shown, boottime() - time.monotonic())

    def start(self, generation: int) -> None:
        """Start one. Raises AirkilnError."""
        self._run("start", "--no-block", worker_unit(generation))

    def supersede(self, generations: Iterable[int]) -> None:
        """Stop those before a generation that is ready. Raises AirkilnError."""
        self._run("stop", "--no-block", *map(worker_unit, generations))

    def stop(self, generations: Iterable[int]) -> None:
        """Send SIGTERM to the main process of each: Celery takes no more tasks and waits for those that run.

        A failure is a line in the journal: the next observation shows that they still run.
        """
        self._ask("stop", "--no-block", *(worker_unit(each) for each in generations))

    def kill(self, generations: Iterable[int]) -> None:
        """SIGKILL to every process of each."""
        self._ask("kill", "--signal=SIGKILL", *(worker_unit(each) for each in generations))

    def _ask(self, *arguments: str) -> None:
        try:
            self._run(*arguments)
        except AirkilnError as error:
            say(f"event=systemctl-failed reason={error}", WARNING)


def parse(shown: str, skew: float) -> tuple[Unit, ...]:
    """The units in what `systemctl show` printed. `skew`: CLOCK_BOOTTIME less CLOCK_MONOTONIC, in seconds."""
    found = []
    for values in systemctl.parse(shown):
        name = _NAME.fullmatch(values.get("Id", ""))
        if name is not None:
            found.append(_unit(int(name[1]), values, skew))
    return tuple(sorted(found, key=lambda unit: unit.generation))


def next_generation(units: Iterable[Unit]) -> int | None:
    """The generation that a reload starts; None where none takes tasks (it drains, or is stopped)."""
    known = tuple(units)
    if not any(unit.stage is Stage.RUNNING for unit in known):
        return None
    return max(unit.generation for unit in known) + 1


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
