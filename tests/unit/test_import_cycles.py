"""No module imports itself through others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.import_graph import find_cycles, import_graph

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("folder", "packages"),
    [
        pytest.param(".", ("rehearsal",), id="rehearsal"),
        pytest.param(".", ("benchmarks", "rehearsal"), id="benchmarks"),
        pytest.param(".", ("tests.support", "rehearsal"), id="tests.support"),
        pytest.param("src", ("airkiln", "airkiln_airflow"), id="src"),
    ],
)
def test_there_is_no_import_cycle(folder: str, packages: tuple[str, ...]) -> None:
    graph = import_graph(ROOT / folder, *packages)
    assert graph
    assert find_cycles(graph) == []


def test_a_cycle_is_found_wherever_the_import_stands(tmp_path: Path) -> None:
    package = tmp_path / "one"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("from one import b\n")
    (package / "b.py").write_text("from . import c\n")
    (package / "c.py").write_text("def late():\n    from one.a import name\n    import json\n")
    (package / "d.py").write_text("import one.c\n")
    graph = import_graph(tmp_path, "one")
    assert graph["one.d"] == {"one.c"}
    assert find_cycles(graph) == [["one.a", "one.b", "one.c", "one.a"]]
