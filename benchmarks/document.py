"""docs/benchmarks.md, its plots and README.md's figures, from the results files alone.

`python -m benchmarks.document` writes them. The docstring of a benchmark's module describes what it measures.
No figure is written by hand.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import plot, readme, results

DOCUMENT = results.ROOT / "docs" / "benchmarks.md"
PLOTS = results.ROOT / "docs" / "benchmarks"
INTRODUCTION = """\
<!-- Written by `make docs` from benchmarks/results/*.json. -->
# Benchmarks

*For people who want to know what Airkiln achieves, and how that was measured. After reading you can repeat
every measurement with the command of its section, as root where it starts machines.*

A script in `benchmarks/` measures each figure, and its peer in the same run. Each section states the date,
the commit and the machine. Percentiles are measured values (nearest rank); with fewer than a hundred runs,
the 99th percentile is the slowest run. In the plots, a bar is the median, the line behind it extends to the
slowest run, and a red mark is the budget.
"""
COLUMNS = ("figure", "subject", "n", "median", "p99", "max", "budget", "unit", "source")


def document(contents: Iterable[Mapping[str, Any]]) -> str:
    """The whole of docs/benchmarks.md."""
    return "\n".join([INTRODUCTION, *(section(content) for content in contents)])


def section(content: Mapping[str, Any]) -> str:
    """One benchmark: what it measures, where it was measured, plot and table."""
    name = content["benchmark"]
    where = f"Measured on {content['date']} at commit `{content['commit']}` on {content['machine']}"
    conditions = f": {content['conditions']}." if "conditions" in content else "."
    return "\n".join(
        [
            f"## {name.capitalize()}",
            "",
            description(name),
            "",
            textwrap.fill(where + conditions, readme.WIDTH, break_on_hyphens=False),
            "",
            f"![{name}: medians beside budgets]({PLOTS.name}/{name}.svg)",
            "",
            *table(content["figures"]),
            "",
        ]
    )


def description(name: str) -> str:
    """The docstring of the benchmark's module."""
    source = (results.ROOT / "benchmarks" / f"{name}.py").read_text()
    return inspect.cleandoc(ast.get_docstring(ast.parse(source)) or "")


def table(figures: Iterable[Mapping[str, Any]]) -> list[str]:
    """The figures as a table of Markdown."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|---|" + "---:|" * 5 + "---|---|"]
    for row in figures:
        budget = f"{row['budget']:g}" if "budget" in row else ""
        values = (f"{row[key]:g}" for key in ("p50", "p99", "max"))
        cells = (row["figure"], row["subject"], str(row["n"]), *values, budget, row["unit"], row["source"])
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def files() -> dict[Path, str]:
    """Everything that is generated: its path and its text."""
    drawn = {PLOTS / f"{name}.svg": svg for name, svg in plot.plots().items()}
    contents = results.all_results()
    figures = readme.with_figures(readme.README.read_text(), contents)
    return {DOCUMENT: document(contents), readme.README: figures, **drawn}


def main() -> None:
    """Write them, and remove the plots of benchmarks that no longer exist."""
    wanted = files()
    PLOTS.mkdir(parents=True, exist_ok=True)
    for path in set(PLOTS.glob("*.svg")) - set(wanted):
        path.unlink()
    for path, text in wanted.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
