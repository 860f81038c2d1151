"""docs/benchmarks.md and its plots say what the results files say, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import document, plot, results

GENERATED = document.files()
AIRKILN = {"figure": "all", "subject": "airkiln", "unit": "s", "n": 5, "p50": 12.5, "p99": 14.0, "max": 14.0}
PEER = {
    **AIRKILN,
    "subject": "by hand",
    "p50": 10.0,
    "p99": 11.0,
    "max": 11.0,
    "source": "https://example.com",
}
CONTENT: dict[str, Any] = {
    "benchmark": "boot",
    "date": "2026-11-21",
    "commit": "0123456789ab",
    "machine": "2 cores, 24 GiB, Debian 12, x86_64",
    "conditions": "a cold cache",
    "figures": [{**AIRKILN, "budget": 16.0, "source": "measured"}, PEER],
}


@pytest.mark.parametrize("path", sorted(GENERATED), ids=lambda path: Path(path).name)
def test_what_is_committed_is_what_the_results_give(path: Path) -> None:
    assert path.read_text() == GENERATED[path], f"{path.name} is out of date: run `make docs`"


def test_every_results_file_has_its_script_and_its_section() -> None:
    sections = document.document(results.all_results())
    for content in results.all_results():
        assert (results.ROOT / "benchmarks" / f"{content['benchmark']}.py").exists()
        assert f"\n## {content['benchmark'].capitalize()}\n" in sections


def test_a_table_shows_the_budget_only_where_there_is_one() -> None:
    _, _, ours, peers = document.table(CONTENT["figures"])
    assert ours == "| all | airkiln | 5 | 12.5 | 14 | 14 | 16 | s | measured |"
    assert peers == "| all | by hand | 5 | 10 | 11 | 11 |  | s | https://example.com |"


def test_a_section_tells_where_it_was_measured_and_on_what_it_depends() -> None:
    text = document.section(CONTENT)
    assert (
        "on 2026-11-21 at commit `0123456789ab` on 2 cores, 24 GiB, Debian 12, x86_64: a cold cache." in text
    )
    assert "(benchmarks/boot.svg)" in text


def test_the_same_figures_give_the_same_bytes_and_others_give_others() -> None:
    drawn = plot.draw(CONTENT)
    assert plot.draw(CONTENT) == drawn
    assert plot.draw({**CONTENT, "figures": [{**AIRKILN, "max": 99.0}]}) != drawn


def test_a_plot_names_each_figure_and_carries_no_date_of_its_making() -> None:
    drawn = plot.draw(CONTENT)
    ElementTree.fromstring(drawn)
    assert "all: airkiln" in drawn
    assert "all: by hand" in drawn
    assert "<dc:date>" not in drawn


def test_units_do_not_share_an_axis_and_counts_of_nought_have_none() -> None:
    size = {**AIRKILN, "figure": "image_size", "unit": "MB"}
    nothing = {**AIRKILN, "figure": "rerun_changed", "unit": "tasks", "p50": 0.0, "p99": 0.0, "max": 0.0}
    shown = plot.panels({**CONTENT, "figures": [AIRKILN, size, nothing, PEER]})
    assert [(panel.unit, len(panel.rows)) for panel in shown] == [("s", 2), ("MB", 1)]
