"""The import graph of packages, read from their source, and the cycles in it.

Imports inside functions count: a cycle that is hidden there is a cycle. Imports for type checkers alone
(`if TYPE_CHECKING:`) do not, because they never run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

Graph = Mapping[str, frozenset[str]]
"""The modules that each module imports, by dotted names."""


def import_graph(root: Path, *packages: str) -> Graph:
    """Return which modules of the packages import which others of them.

    :param root: the folder that contains the packages, as on ``sys.path``.
    :param packages: dotted names, such as ``rehearsal`` or ``tests.support``.
    """
    modules = {
        _name(path.relative_to(root)): path
        for package in packages
        for path in sorted((root / package.replace(".", "/")).rglob("*.py"))
    }
    return {
        name: frozenset(
            found
            for imported in _imports(ast.parse(path.read_text(encoding="utf-8")), name, path)
            if (found := _known(imported, modules)) is not None and found != name
        )
        for name, path in modules.items()
    }


def package_graph(modules: Graph, depth: int = 2) -> Graph:
    """Return the same graph between subpackages, named by the first ``depth`` parts of a module's name."""
    found: dict[str, set[str]] = {}
    for name, imported in modules.items():
        own = _shortened(name, depth)
        found.setdefault(own, set()).update({_shortened(each, depth) for each in imported} - {own})
    return {name: frozenset(imported) for name, imported in found.items()}


def cycles(graph: Graph) -> list[tuple[str, ...]]:
    """Return the groups of modules that import one another, directly or through others; each is sorted."""
    reachable = {name: _reachable(name, graph) for name in graph}
    groups = {
        tuple(sorted({name, *(each for each in reachable[name] if name in reachable[each])}))
        for name in graph
        if name in reachable[name]
    }
    return sorted(groups)


def _reachable(start: str, graph: Graph) -> set[str]:
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += graph.get(name, ())
    return found


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _known(imported: str, modules: Mapping[str, Path]) -> str | None:
    """Return the known module that a name is or is in; None where it belongs to another package."""
    while imported and imported not in modules:
        imported = imported.rpartition(".")[0]
    return imported or None


def _imports(tree: ast.AST, own: str, path: Path) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from _imports(other, own, path)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, own, path)
            yield from (f"{base}.{alias.name}" for alias in node.names)
        else:
            yield from _imports(node, own, path)


def _base(node: ast.ImportFrom, own: str, path: Path) -> str:
    if not node.level:
        return node.module or ""
    parts = own.split(".")
    package = parts if path.name == "__init__.py" else parts[:-1]
    parents = package[: len(package) - node.level + 1]
    return ".".join([*parents, node.module] if node.module else parents)


def _shortened(name: str, depth: int) -> str:
    return ".".join(name.split(".")[:depth])
