"""`airkiln lifecycle run|status|drain|resume|supersede`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any

from airkiln.errors import AirkilnError, NotPermittedError
from airkiln.host import daemon
from airkiln.host.clock import boottime
from airkiln.host.layout import Layout
from airkiln.lifecycle.model import Stage, Unit
from airkiln.lifecycle.runtime import RuntimeDirectory
from airkiln.lifecycle.units import Units
from airkiln.roles import worker_unit
from airkiln.systemd.journal import NOTICE, say

ATTEMPTS = 3
"""Attempts of `supersede`, a second apart: systemd may be reading its units again."""
EVERY = 1.0
"""Seconds between two observations of a drain that is waited for."""


def run(_options: argparse.Namespace) -> None:
    """Run the daemon."""
    from airkiln.lifecycle.daemon import Daemon  # noqa: PLC0415 - the other commands do without it

    with daemon.starting():
        Daemon().run()


def status(options: argparse.Namespace) -> None:
    """Show the worker's generations on this host, and why they drain."""
    found = read_status(RuntimeDirectory(), Units())
    sys.stdout.write(json.dumps(found, indent=2) + "\n" if options.json else describe(found))


def read_status(directory: RuntimeDirectory, units: Units) -> dict[str, Any]:
    """The generations on this host, and the mark on it."""
    now = boottime()
    return {
        "draining": directory.marked(),
        "generations": [
            {
                "unit": worker_unit(unit.generation),
                "stage": unit.stage.value,
                "failed": unit.failed,
                "ends_in": _left(unit, now),
            }
            for unit in units.observe()
        ],
    }


def _left(unit: Unit, now: float) -> float | None:
    """Seconds until it is killed; None where nothing kills it."""
    end = unit.end
    return None if end is None or end == float("inf") else round(end - now, 1)


def describe(found: dict[str, Any]) -> str:
    """The status for a person."""
    lines = [f"draining  {found['draining'] or 'no'}"]
    for each in found["generations"]:
        left = "" if each["ends_in"] is None else f", killed in {each['ends_in']:g} s if it runs until then"
        lines.append(f"worker    {each['unit']}: {'failed' if each['failed'] else each['stage']}{left}")
    if not found["generations"]:
        lines.append("worker    none")
    return "\n".join(lines) + "\n"


def drain(options: argparse.Namespace) -> None:
    """Take no more tasks on this host and finish those that run; with --wait, return when none is left."""
    directory, units = RuntimeDirectory(), Units()
    who = os.environ.get("SUDO_USER") or os.environ.get("USER") or "root"
    try:
        directory.mark(directory.marked() or f"requested by {who}")
    except OSError as error:
        raise NotPermittedError(f"{directory.draining}: not written ({error.strerror}): use sudo") from None
    # Here as well as in the daemon, which may not run.
    running = [unit.generation for unit in units.observe() if unit.stage is Stage.RUNNING]
    if running:
        units.stop(running)
    sys.stdout.write("draining: this host takes no more tasks; `airkiln lifecycle resume` cancels it\n")
    while options.wait and any(unit.stage is not Stage.ENDED for unit in units.observe()):
        time.sleep(EVERY)
    if options.wait:
        sys.stdout.write("drained: no task runs on this host\n")


def resume(_options: argparse.Namespace) -> None:
    """Cancel a drain: remove the mark, start the newest generation."""
    directory = RuntimeDirectory()
    try:
        directory.draining.unlink(missing_ok=True)
    except OSError as error:
        raise NotPermittedError(f"{directory.draining}: not removed ({error.strerror}): use sudo") from None
    Units().start(newest(Layout()))
    sys.stdout.write("resumed: a worker starts\n")


def newest(layout: Layout) -> int:
    """The generation that runs on this host: the first until a reload has started another."""
    try:
        return int(layout.worker_generation.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 1


def supersede(options: argparse.Namespace) -> None:
    """Stop every generation before this one. A generation that is ready calls it."""
    units = Units()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            older = older_than(options.generation, units.observe())
            if older:
                units.supersede(older)
                say(
                    f"event=superseded generations={','.join(map(str, older))} "
                    f"reason=generation {options.generation} is ready",
                    NOTICE,
                )
            break
        except AirkilnError:
            if attempt == ATTEMPTS:
                raise
            time.sleep(1)


def older_than(generation: int, units: tuple[Unit, ...]) -> list[int]:
    """The generations before this one that still take tasks."""
    return [each.generation for each in units if each.generation < generation and each.stage is Stage.RUNNING]
