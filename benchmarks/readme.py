"""The figures in README.md, from the results files: three of them beside their peers, and what exceeds its
budget. `python -m benchmarks.document` writes them between the markers; a test compares."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks import results

README = results.ROOT / "README.md"
WIDTH = 110
"""Characters in a line of prose, as in every document (tests/unit/test_documents.py)."""
BEGIN = "<!-- figures: begin. Written by `make docs` from benchmarks/results/*.json. -->"
END = "<!-- figures: end -->"
LOST = "_lost_failed_or_twice"
"""How the figures of benchmarks/drain.py end that count task instances."""
SHOWN = ("boot", "drain", "failover")
"""The benchmarks that the three figures come from."""

Contents = Mapping[str, Mapping[str, Any]]
"""The content of each results file, by the benchmark's name."""


def with_figures(text: str, contents: Iterable[Mapping[str, Any]]) -> str:
    """README.md with the figures of `contents` between the markers. ValueError if a marker is missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md: has no `{BEGIN if not begin else END}`: put the marker back")
    by_name = {content["benchmark"]: content for content in contents}
    return "".join([before, BEGIN, "\n", section(by_name), END, after])


def section(contents: Contents) -> str:
    """What stands between the markers."""
    rows = (_boot(contents["boot"]), _failover(contents["failover"]), _drain(contents["drain"]))
    lines = ["| figure | Airkiln | beside it, in the same run |", "|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", _wrapped(_where(contents)), "", _wrapped(_exceeded(contents)), ""])


def _boot(content: Mapping[str, Any]) -> Sequence[str]:
    ours, peer = _row(content, "webserver", "airkiln"), _row(content, "webserver", "bare airflow")
    return (
        "[From launch to a healthy web server](docs/benchmarks.md#boot)",
        f"{_seconds(ours['p50'])} median, {_seconds(ours['max'])} slowest of {ours['n']}",
        f"{_seconds(peer['p50'])} median: Airflow's own command on a machine that has booted already",
    )


def _failover(content: Mapping[str, Any]) -> Sequence[str]:
    ours = _row(content, "scheduler_sigkill", "airkiln")
    peer = _row(content, "scheduler_sigkill", "airflow")
    adopted = _row(content, "scheduler_sigkill_adopted", "airflow")
    return (
        "[From a scheduler's death to the next task queued](docs/benchmarks.md#failover)",
        f"{_seconds(ours['p50'])} median, {_seconds(ours['max'])} slowest of {ours['n']}",
        f"{_seconds(peer['p50'])} median: Airflow with two schedulers, which adopts the dead one's tasks "
        f"after {_seconds(adopted['p50'])}",
    )


def _drain(content: Mapping[str, Any]) -> Sequence[str]:
    ours = [row for row in content["figures"] if row["figure"].endswith(LOST) and _is(row, "airkiln")]
    peer = _row(content, f"systemctl_stop{LOST}", "airflow")
    return (
        "[Tasks lost, failed or run twice when workers end](docs/benchmarks.md#drain)",
        f"{sum(row['p50'] for row in ours):g} of {sum(row['n'] for row in ours):,}",
        f"{peer['p50']:g} of {peer['n']}: the worker's unit of Airflow's scripts/systemd",
    )


def _where(contents: Contents) -> str:
    shown = [contents[name] for name in SHOWN]
    machines = " and ".join(dict.fromkeys(str(content["machine"]) for content in shown))
    dates = " and ".join(sorted({str(content["date"]) for content in shown}))
    return (
        f"Measured on {dates} in the rehearsal, all instances on one machine ({machines}), not on EC2. "
        "[All figures](docs/benchmarks.md) have their peers, budgets and commits beside them."
    )


def _exceeded(contents: Contents) -> str:
    """The 99th percentiles that exceed their budget, in a sentence."""
    rows = [
        (name, row) for name, content in contents.items() for row in content["figures"] if "budget" in row
    ]
    over = [
        f"{name}'s `{row['figure']}` ({row['p99']:g} of {row['budget']:g} {row['unit']})"
        for name, row in rows
        if row["p99"] > row["budget"]
    ]
    if not over:
        return f"All {len(rows)} figures that have a budget keep it."
    return f"Of {len(rows)} figures that have a budget, {len(over)} exceed it: {', '.join(over)}."


def _row(content: Mapping[str, Any], figure: str, subject: str) -> Mapping[str, Any]:
    """The figure of one subject. ValueError if the results file has none."""
    for row in content["figures"]:
        if row["figure"] == figure and _is(row, subject):
            return dict(row)
    raise ValueError(f"benchmarks/results/{content['benchmark']}.json: has no {figure} of {subject}")


def _is(row: Mapping[str, Any], subject: str) -> bool:
    return bool(re.match(rf"{re.escape(subject)}\b", row["subject"]))


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)
