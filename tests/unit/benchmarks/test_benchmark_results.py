"""The one form of all results."""

from __future__ import annotations

import json
import os
from pathlib import Path

from benchmarks import results


def test_percentiles_are_samples_and_the_largest_is_kept() -> None:
    row = results.summarise("boot", "airkiln", [float(number) for number in range(1, 101)], budget=3.0)
    assert (row.n, row.p50, row.p99, row.max, row.budget) == (100, 50, 99, 100, 3.0)
    assert results.summarise("boot", "airkiln", [2.0]).p99 == 2.0


def test_a_result_has_the_designs_form(tmp_path: Path) -> None:
    row = results.summarise("boot", "airkiln", [1.23456])
    path = results.record("boot", [row], tmp_path / "deep" / "boot.json", conditions="warm")
    content = json.loads(path.read_text())
    assert list(content) == ["benchmark", "date", "commit", "machine", "conditions", "figures"]
    assert content["figures"] == [
        {
            "figure": "boot",
            "subject": "airkiln",
            "unit": "s",
            "n": 1,
            "p50": 1.235,
            "p99": 1.235,
            "max": 1.235,
            "source": "measured",
        }
    ]


def test_the_machine_is_described_without_its_name() -> None:
    description = results.machine()
    assert "cores" in description
    assert "GiB" in description
    assert os.uname().nodename not in description


def test_a_table_shows_every_figure() -> None:
    rows = [results.summarise("boot", subject, [1.0]) for subject in ("airkiln", "by hand")]
    assert len(results.table(rows).splitlines()) == 3
