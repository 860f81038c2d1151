"""The import graph of packages, read from their source, and the cycles in it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

Graph = Mapping[str, set[str]]
"""The modules that each module imports, by dotted names."""


def import_graph(root: Path, *packages: str) -> Graph:
    """Return which modules of the packages import which others of them, wherever the import stands.

    :param root: the folder that contains the packages, as on ``sys.path``.
    :param packages: dotted names, such as ``rehearsal`` or ``tests.support``.
    """
    sources = {
        _module_name(path.relative_to(root)): path
        for package in packages
        for path in sorted((root / package.replace(".", "/")).rglob("*.py"))
    }
    return {name: set(_imported(name, path, set(sources))) - {name} for name, path in sources.items()}


def find_cycles(graph: Graph) -> list[list[str]]:
    """Return one cycle of modules for each import that closes one, from a depth-first search."""
    cycles: list[list[str]] = []
    finished: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            cycles.append([*path[path.index(module) :], module])
        elif module not in finished:
            for imported in sorted(graph.get(module, ())):
                visit(imported, [*path, module])
            finished.add(module)

    for module in sorted(graph):
        visit(module, [])
    return cycles


def _module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(name: str, path: Path, known: set[str]) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [node.module])])
            wanted = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for each in wanted:
            if each in known:
                yield each
            elif (parent := each.rpartition(".")[0]) in known:
                yield parent
