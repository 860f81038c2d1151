"""One plot a results file: `plots()` draws them as SVG, the same bytes from the same figures.

A bar is the median, the line behind it reaches to the slowest, a mark across is the budget. Text stays text.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from benchmarks import results

WIDTH = 8.0
"""Inches, of 72 points each."""
ROW = 0.28
"""Inches for a bar."""
PANEL = 0.9
"""Inches for a panel's title, axis and the space between."""
OURS, PEERS = "#1f5f8b", "#b8c4cc"
"""Colours of Airkiln's figures and of those beside them."""
WIDE = 200
"""Ratio of the longest bar to the shortest from which a panel's axis is logarithmic."""
BUDGET_COLOUR = "#b3261e"

Row = Mapping[str, Any]
"""A figure as its results file has it."""


@dataclass(frozen=True)
class Panel:
    """The figures of one unit; what has different units has no common axis."""

    unit: str
    rows: list[Row]


def panels(content: Mapping[str, Any]) -> list[Panel]:
    """A panel for each unit, in the order of the file; counts that are all nought have nothing to show."""
    by_unit: dict[str, list[Row]] = {}
    for row in content["figures"]:
        by_unit.setdefault(row["unit"], []).append(row)
    return [Panel(unit, rows) for unit, rows in by_unit.items() if any(row["max"] for row in rows)]


def draw(content: Mapping[str, Any]) -> str:
    """A results file's plot, as SVG."""
    shown = panels(content)
    heights = [ROW * len(panel.rows) + PANEL for panel in shown]
    style = mpl.rc_context(
        {
            "svg.hashsalt": "airkiln",  # the ids of clip paths are random without it
            "svg.fonttype": "none",
            "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine lays out alike
            "font.size": 9,
        }
    )
    with style:
        canvas = Canvas(figsize=(WIDTH, sum(heights)), layout="constrained")
        axes = canvas.subplots(len(shown), squeeze=False, height_ratios=heights)[:, 0]
        for axis, panel in zip(axes, shown, strict=True):
            _draw_panel(axis, panel)
        canvas.supxlabel(content["machine"], fontsize=7, color="#555555")
        _settle(canvas)
        output = io.StringIO()
        canvas.savefig(output, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines()) + "\n"


def _settle(canvas: Canvas) -> None:
    """Have the layout's places in round numbers: its solver's last digits differ from run to run, and the ids
    of clip paths are made of them."""
    canvas.draw_without_rendering()
    canvas.set_layout_engine("none")
    for axis in canvas.axes:
        left, bottom, width, height = (round(each, 6) for each in axis.get_position().bounds)
        axis.set_position((left, bottom, width, height))


def _draw_panel(axis: Axes, panel: Panel) -> None:
    for place, row in enumerate(panel.rows):
        colour = OURS if results.is_ours(row["subject"]) else PEERS
        axis.plot([0, row["max"]], [place, place], color=colour, linewidth=1, zorder=1)
        axis.barh(place, row["p50"], height=0.6, color=colour, zorder=2)
        axis.annotate(
            f"{row['p50']:g}",
            (row["max"], place),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
        if row.get("budget"):
            axis.plot([row["budget"]] * 2, [place - 0.4, place + 0.4], color=BUDGET_COLOUR, linewidth=1.5)
    axis.set_yticks(range(len(panel.rows)), [f"{row['figure']}: {row['subject']}" for row in panel.rows])
    axis.invert_yaxis()
    axis.set_xlabel(panel.unit)
    _scale(axis, panel)
    axis.margins(x=0.08)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _scale(axis: Axes, panel: Panel) -> None:
    """From nought, or logarithmic where the long bars would leave nothing of the short ones."""
    medians = [row["p50"] for row in panel.rows if row["p50"]]
    if medians and max(medians) > WIDE * min(medians):
        axis.set_xscale("log")
        axis.set_xlim(left=min(medians) / 2)
    else:
        axis.set_xlim(left=0)


def plots() -> dict[str, str]:
    """The plot of every results file, by the benchmark's name."""
    return {content["benchmark"]: draw(content) for content in results.all_results()}
