"""Imports go one way: no module and no package imports what imports it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.import_graph import cycles, import_graph, package_graph

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "src": ("airkiln", "airkiln_airflow", "airkiln_deploy"),
    ".": ("rehearsal", "benchmarks", "tests"),
}


@pytest.mark.parametrize("folder", PACKAGES)
def test_no_module_imports_what_imports_it(folder: str) -> None:
    assert cycles(import_graph(ROOT / folder, *PACKAGES[folder])) == []


def test_no_package_of_airkiln_imports_what_imports_it() -> None:
    assert cycles(package_graph(import_graph(ROOT / "src", "airkiln"))) == []


def test_a_cycle_is_found_through_others_and_inside_functions(tmp_path: Path) -> None:
    package = tmp_path / "p"
    (package / "sub").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "sub/__init__.py").write_text("")
    (package / "a.py").write_text("from p import b\n")
    (package / "b.py").write_text("def f():\n    from p.sub.c import d\n")
    (package / "sub/c.py").write_text("import os\nfrom ..a import x\n")
    (package / "e.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p import f\n"
    )
    (package / "f.py").write_text("from p import e\n")
    graph = import_graph(tmp_path, "p")
    assert graph["p.f"] == {"p.e"}
    assert cycles(graph) == [("p.a", "p.b", "p.sub.c")]
    assert cycles(package_graph(graph)) == [("p.a", "p.b", "p.sub")]
