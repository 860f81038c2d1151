"""`airkiln lifecycle run|status|drain|resume|supersede`."""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from typing import Any

from airkiln.errors import AirkilnError, NotPermittedError
from airkiln.host.layout import Layout
from airkiln.lifecycle.model import Stage, Unit
from airkiln.lifecycle.runtime import Folder
from airkiln.lifecycle.units import Units, systemctl
from airkiln.roles import worker_unit
from airkiln.systemd.journal import NOTICE, say

TRIES = 3
"""Of `supersede`, a second apart: systemd may be reading its units again."""
WAIT_LOOKS = 1.0
"""Seconds between two looks of a drain that is waited for."""


def run(_options: argparse.Namespace) -> None:
    """The daemon."""
    from airkiln.lifecycle.daemon import Daemon  # noqa: PLC0415 - the other commands do without it

    gc.enable()  # the commands of the boot path do without
    Daemon().run()


def status(options: argparse.Namespace) -> None:
    """Show what drains here, and why."""
    found = read_status(Folder(), Units())
    sys.stdout.write(json.dumps(found, indent=2) + "\n" if options.json else describe(found))


def read_status(folder: Folder, units: Units) -> dict[str, Any]:
    """This host's generations, and the mark on it."""
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    return {
        "draining": folder.marked(),
        "generations": [
            {
                "unit": worker_unit(unit.generation),
                "stage": unit.stage.value,
                "failed": unit.failed,
                "ends_in": _left(unit, now),
            }
            for unit in units.look()
        ],
    }


def _left(unit: Unit, now: float) -> float | None:
    """Seconds; None of one that nothing ends."""
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
    """Take no more tasks on this host and end what runs; with --wait, return when it has."""
    folder, units = Folder(), Units()
    who = os.environ.get("SUDO_USER") or os.environ.get("USER") or "root"
    try:
        folder.mark(folder.marked() or f"asked for by {who}")
    except OSError as error:
        raise NotPermittedError(f"{folder.draining}: not written ({error.strerror}): use sudo") from None
    # Asked here as well as by the daemon, which may not run.
    running = [unit.generation for unit in units.look() if unit.stage is Stage.RUNNING]
    if running:
        units.stop(running)
    sys.stdout.write("draining: no task is taken any more; `airkiln lifecycle resume` takes it back\n")
    while options.wait and any(unit.stage is not Stage.ENDED for unit in units.look()):
        time.sleep(WAIT_LOOKS)
    if options.wait:
        sys.stdout.write("drained: nothing runs any more\n")


def resume(_options: argparse.Namespace) -> None:
    """Take a drain back: remove the mark, start the newest generation."""
    folder = Folder()
    try:
        folder.draining.unlink(missing_ok=True)
    except OSError as error:
        raise NotPermittedError(f"{folder.draining}: not removed ({error.strerror}): use sudo") from None
    systemctl("start", "--no-block", worker_unit(newest(Layout())))
    sys.stdout.write("resumed: a worker starts\n")


def newest(layout: Layout) -> int:
    """The generation that shall run here: the first one until a reload has started another."""
    try:
        return int(layout.worker_generation.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 1


def supersede(options: argparse.Namespace) -> None:
    """Stop every generation before this one. Called by a generation that is ready."""
    units = Units()
    for attempt in range(1, TRIES + 1):
        try:
            older = older_than(options.generation, units.look())
            if older:
                systemctl("stop", "--no-block", *map(worker_unit, older))
                say(
                    f"event=superseded generations={','.join(map(str, older))} "
                    f"reason=generation {options.generation} is ready",
                    NOTICE,
                )
            break
        except AirkilnError:
            if attempt == TRIES:
                raise
            time.sleep(1)


def older_than(generation: int, units: tuple[Unit, ...]) -> list[int]:
    """The generations before this one that still take tasks."""
    return [each.generation for each in units if each.generation < generation and each.stage is Stage.RUNNING]
