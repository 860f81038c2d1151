"""`airkiln autoscale simulate`: what a history of task instances would have waited, and its workers cost.

The history is replayed with each of several settings, and beside the first of them by the policies of others.
Nothing but the files in --output is written, and they only at the end.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from airkiln.errors import AirkilnError, RefusedError
from airkiln.host import files
from airkiln.simulation import history as histories
from airkiln.simulation.history import History
from airkiln.simulation.outcomes import HOUR, Outcome
from airkiln.simulation.replay import simulate, warn_of_unserved
from airkiln.simulation.settings import read_all


def run(options: argparse.Namespace) -> None:
    """The command."""
    settings = read_all(options.settings)
    since = histories.FIRST if options.since is None else _moment(options.since)
    history = _from_database(since) if options.database else histories.read_csv(options.history, since)
    warn_of_unserved(history, settings)
    replays = simulate(history, settings, options.peers)
    outcomes = [each.outcome for each in replays]
    content = json.dumps({"outcomes": [asdict(each) for each in outcomes]}, indent=2) + "\n"
    if options.output is not None:
        from airkiln.simulation.chart import draw  # noqa: PLC0415 - the table does without it

        _write(
            options.output, {"simulation.json": content, "simulation.svg": draw(history, settings, replays)}
        )
    sys.stdout.write(content if options.json else table(outcomes))


def table(outcomes: Iterable[Outcome]) -> str:
    """The outcomes for a person: a line each."""
    rows = [
        (
            "pool", "setting", "policy", "tasks", "wait p50", "p95", "max", "worker hours", "a month",
            "changes a day", "flaps", "regrown", "most workers",
        )
    ]  # fmt: skip
    rows += [
        (
            each.pool,
            each.setting,
            each.policy,
            str(each.tasks),
            _seconds(each.wait_p50),
            _seconds(each.wait_p95),
            _seconds(each.wait_max) if not each.unserved else f"{each.unserved} never",
            f"{each.worker_hours:.1f}",
            "-" if each.monthly_cost is None else f"{each.monthly_cost:.2f}",
            f"{each.changes_per_day:.1f}",
            str(each.flaps),
            str(each.regrown),
            str(each.workers_max),
        )
        for each in outcomes
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, ""])


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value < 10000 else f"{value / HOUR:.1f} h"


def _moment(text: str) -> float:
    try:
        return histories.moment(text)
    except (ValueError, OverflowError):
        raise RefusedError(
            [f"--since: {text!r} is not a time: use such as 2026-11-21T07:30:00Z, or seconds since 1970"]
        ) from None


def _from_database(since: float) -> History:
    import psycopg  # noqa: PLC0415 - a file does without it

    from airkiln.database import controller  # noqa: PLC0415
    from airkiln.database.connect import connect, explain  # noqa: PLC0415
    from airkiln.host.layout import Layout  # noqa: PLC0415

    keywords = controller.keywords(controller.variables(Layout()))
    try:
        with connect(keywords) as connection:
            return histories.read_database(connection, since)
    except psycopg.Error as error:
        raise explain(error, keywords) from None


def _write(folder: Path, contents: dict[str, str]) -> None:
    """All of them, each whole."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.write({folder / name: (text, files.Ownership(0o644)) for name, text in contents.items()})
    except OSError as error:
        raise AirkilnError(
            f"{error.filename}: cannot be written ({error.strerror}): choose another --output"
        ) from None
