"""What a run of the rehearsal ends with: the table of an environment, and the ways into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, fields

from rehearsal.deployment.environment import Row
from rehearsal.deployment.seed import Login
from rehearsal.progress import Stages
from rehearsal.region import Region


def table(rows: Sequence[Row]) -> list[str]:
    """The lines of a table with a heading."""
    cells = [tuple(field.name for field in fields(Row)), *(astuple(row) for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(cells[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


def say_ways_in(region: Region, stages: Stages, address: list[str], login: Login, role: str) -> None:
    """Print address and login, and the commands with which to look further.

    :param address: lines about where people open Airflow.
    :param role: of the instances that the commands are shown for.
    """
    stages.note("")
    for line in address:
        stages.note(line)
    stages.note(f"login     {login.username} / {login.password}")
    stages.note(f"shell     {region.make('rehearse-shell', f'HOST={role}')}")
    stages.note(f"logs      {region.make('rehearse-logs', f'ROLE={role}')}")
    stages.note(f"status    {region.make('rehearse-status')}")
    stages.note(f"took      {stages.elapsed():.0f} s; {region.make('rehearse-down')} removes every trace")
