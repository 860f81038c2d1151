"""The table of attackers and assets in docs/security.md: complete, and each test that it names exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs/security.md").read_text(encoding="utf-8")
STATES = ("refused", "limited", "open")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


class Cell(NamedTuple):
    """What one attacker can do to one asset."""

    attacker: str
    asset: str
    state: str
    holds: str
    tests: list[tuple[str, str]]

    def __str__(self) -> str:
        return f"{self.attacker}, {self.asset}"


def rows(text: str) -> list[list[str]]:
    """The cells of the lines of a table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def section(title: str) -> str:
    """What stands below a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert found, f"docs/security.md has no heading {title}"
    return str(found[1])


OVERVIEW = section("Attackers and assets")
ANCHORS = re.findall(r"\]\(#([\w-]+)\)", next(line for line in OVERVIEW.splitlines() if line.startswith("|")))


def attacker(anchor: str) -> str:
    """The heading that an anchor of the overview means."""
    titles = {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-"): title for title in HEADING.findall(DOCUMENT)
    }
    return str(titles[anchor])


def cells() -> list[Cell]:
    """Every row of the attackers' tables."""
    return [
        Cell(title, asset, state, holds, TEST.findall(tests))
        for title in map(attacker, ANCHORS)
        for asset, state, holds, tests in rows(section(title))
    ]


CELLS = cells()


@cache
def functions(path: str) -> frozenset[str]:
    """The tests that a file defines."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def missing(tests: list[tuple[str, str]]) -> list[str]:
    """The named tests that do not exist."""
    return [
        f"{path}::{name}"
        for path, name in tests
        if not (ROOT / path).is_file() or name not in functions(path)
    ]


def test_the_overview_says_of_every_attacker_and_asset_what_the_tables_say() -> None:
    said = {
        (attacker(anchor), asset): state
        for asset, *states in rows(OVERVIEW)
        for anchor, state in zip(ANCHORS, states, strict=True)
    }
    assert said == {(cell.attacker, cell.asset): cell.state for cell in CELLS}
    assert len(said) == len(CELLS) == len(ANCHORS) * len(rows(OVERVIEW))


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_cell_names_its_tests_or_says_that_it_is_open(cell: Cell) -> None:
    assert cell.state in STATES
    assert cell.holds.endswith(".")
    assert bool(cell.tests) == (cell.state != "open")


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_every_test_that_a_cell_names_exists(cell: Cell) -> None:
    assert missing(cell.tests) == []


def test_every_test_that_the_document_names_exists() -> None:
    assert missing(TEST.findall(DOCUMENT)) == []


def test_a_test_that_does_not_exist_is_found() -> None:
    own = "tests/unit/test_security_document.py"
    named = [
        (own, "test_nothing"),
        ("tests/unit/none.py", "test_x"),
        (own, "test_a_test_that_does_not_exist_is_found"),
    ]
    assert missing(named) == [f"{own}::test_nothing", "tests/unit/none.py::test_x"]


def test_whoever_is_not_refused_everything_is_named_among_what_is_not_defended() -> None:
    undefended = section("What Airkiln does not defend against")
    assert "A pool is one trust domain" in undefended
    assert "DAG authors" in undefended
    about = {cell.attacker for cell in CELLS if cell.state == "open"}
    assert about <= {"DAG code on a scheduler host"}
