"""README.md's figures are those of the results files."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from benchmarks import readme, results

CONTENTS = results.all_results()
EMPTY = f"# Airkiln\n\n{readme.BEGIN}\nold\n{readme.END}\n\n## Next\n"


def changed(benchmark: str, figure: str, **values: float) -> list[dict[str, Any]]:
    """The results with other values of Airkiln's figure."""
    contents = copy.deepcopy(CONTENTS)
    content = next(each for each in contents if each["benchmark"] == benchmark)
    row = next(
        each for each in content["figures"] if each["figure"] == figure and results.is_ours(each["subject"])
    )
    row.update(values)
    return contents


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    text = readme.with_figures(EMPTY, CONTENTS)
    assert text.startswith("# Airkiln\n\n")
    assert text.endswith(f"{readme.END}\n\n## Next\n")
    assert "old" not in text
    assert readme.with_figures(text, CONTENTS) == text


@pytest.mark.parametrize("marker", [readme.BEGIN, readme.END])
def test_a_missing_marker_is_an_error(marker: str) -> None:
    with pytest.raises(ValueError, match="put the marker back"):
        readme.with_figures(EMPTY.replace(marker, ""), CONTENTS)


@pytest.mark.parametrize(
    ("benchmark", "figure", "values", "shown"),
    [
        ("boot", "webserver", {"p50": 77.0}, "77 s median"),
        ("failover", "scheduler_sigkill", {"max": 88.0}, "88 s slowest of"),
        ("drain", "reload_lost_failed_or_twice", {"p50": 33.0}, "| 33 of "),
        ("bake", "image", {"p99": 1000.0}, "bake's `image` (1000 of 150 s)"),
    ],
)
def test_a_figure_that_changes_changes_the_readme(
    benchmark: str, figure: str, values: dict[str, float], shown: str
) -> None:
    assert shown not in readme.with_figures(EMPTY, CONTENTS)
    assert shown in readme.with_figures(EMPTY, changed(benchmark, figure, **values)).replace("\n", " ")


def test_a_figure_that_is_gone_is_an_error() -> None:
    contents = [{**each, "figures": []} for each in CONTENTS]
    with pytest.raises(ValueError, match="has no webserver of airkiln"):
        readme.with_figures(EMPTY, contents)
