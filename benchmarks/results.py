"""The one form of all results: what docs and plots are generated from."""

from __future__ import annotations

import datetime
import json
import math
import os
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"

OURS = ("airkiln", "uv, as baked")
"""How the subjects begin that are not a peer."""

_GIB = 1 << 20  # in /proc/meminfo's kB


@dataclass(frozen=True)
class Figure:
    """One row: `figure` is what was measured, `subject` of whom. `p50`, `p99` and `max` are in `unit`.

    `source` is "measured", or where a peer's cited figure stands. `budget` is what we allow ourselves.
    """

    figure: str
    subject: str
    unit: str
    n: int
    p50: float
    p99: float
    max: float
    source: str = "measured"
    budget: float | None = None


def summarise(
    figure: str, subject: str, samples: Sequence[float], *, unit: str = "s", budget: float | None = None
) -> Figure:
    """A measured row from its samples. Percentiles are samples themselves (nearest rank)."""
    ordered = sorted(samples)
    return Figure(
        figure=figure,
        subject=subject,
        unit=unit,
        n=len(ordered),
        p50=_round(_percentile(ordered, 50)),
        p99=_round(_percentile(ordered, 99)),
        max=_round(ordered[-1]),
        budget=budget,
    )


def record(
    benchmark: str,
    figures: Sequence[Figure],
    path: Path | None = None,
    *,
    conditions: str | None = None,
    measured: tuple[str, str] | None = None,
) -> Path:
    """Write one benchmark's results, by default to benchmarks/results/<benchmark>.json.

    `conditions` is a sentence on what the figures depend on beside the machine; `measured` is the date and
    the commit of what was measured earlier, today and HEAD without. Returns the file's path.
    """
    date, code = measured or (datetime.datetime.now(datetime.UTC).date().isoformat(), commit())
    path = path or RESULTS / f"{benchmark}.json"
    content: dict[str, object] = {
        "benchmark": benchmark,
        "date": date,
        "commit": code,
        "machine": machine(),
    }
    if conditions is not None:
        content["conditions"] = conditions
    content["figures"] = [
        {key: value for key, value in asdict(figure).items() if value is not None} for figure in figures
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path


def table(figures: Sequence[Figure]) -> str:
    """The figures as lines for a terminal."""
    rows = [("figure", "subject", "n", "p50", "p99", "max", "unit")]
    rows += [
        (f.figure, f.subject, str(f.n), f"{f.p50:g}", f"{f.p99:g}", f"{f.max:g}", f.unit) for f in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def all_results() -> list[dict[str, Any]]:
    """The content of every results file, by name."""
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]


def is_ours(subject: str) -> bool:
    """Whether a figure is Airkiln's own and not a peer's."""
    return subject.startswith(OURS)


def machine() -> str:
    """Cores that this process may use, memory, system and architecture; no name of a host."""
    cores = len(os.sched_getaffinity(0))
    system = _os_release()
    return f"{cores} cores, {_memory_gib()} GiB, {system}, {os.uname().machine}"


def commit() -> str:
    """The commit that was measured, short; "unknown" outside a clone."""
    done = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def _os_release() -> str:
    fields = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line
    )
    name, version = (fields.get(key, "").strip('"') for key in ("ID", "VERSION_ID"))
    return f"{name.capitalize()} {version}".strip()


def _memory_gib() -> int:
    line = Path("/proc/meminfo").read_text().splitlines()[0]  # MemTotal:  24650000 kB
    return round(int(line.split()[1]) / _GIB)


def _percentile(ordered: Sequence[float], percent: float) -> float:
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _round(value: float) -> float:
    """Four digits that count."""
    return float(f"{value:.4g}")
