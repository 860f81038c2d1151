"""The rehearsal's layers import downwards only, and each knows only its own subject."""

from __future__ import annotations

import re

import pytest

from rehearsal.region import REPOSITORY
from tests.support.import_graph import import_graph

LAYERS = (
    ("region", "errors", "waiting", "progress"),
    ("linux",),
    ("aws",),
    ("deployment",),
    ("chaos",),
    ("cli", "commands", "__main__"),
)
"""Modules and packages of ``rehearsal``, the lowest layer first."""

SERVICE_LAYERS = ("models", "backend", "responses", "install")
"""Modules of an emulated service, the lowest first."""

FOREIGN_WORDS = {
    "linux": re.compile(r"\baws\b|airkiln:|airflow", re.IGNORECASE),
    "aws": re.compile(r"airkiln:|airflow", re.IGNORECASE),
}
"""What a layer knows nothing of."""


def layer_of(module: str) -> int:
    """Return the number of a module's layer."""
    (number,) = (at for at, names in enumerate(LAYERS) if module.split(".")[1] in names)
    return number


def test_a_layer_imports_only_lower_layers() -> None:
    graph = import_graph(REPOSITORY, "rehearsal")
    upward = [
        f"{module} imports {imported}"
        for module in graph
        for imported in graph[module]
        if module != "rehearsal" and imported != "rehearsal" and layer_of(imported) > layer_of(module)
    ]
    assert upward == []


@pytest.mark.parametrize("service", ["ec2", "autoscaling", "cloudformation", "elbv2", "rds"])
def test_a_service_imports_in_one_direction(service: str) -> None:
    package = f"rehearsal.aws.services.{service}"
    order = {f"{package}.{name}": at for at, name in enumerate(SERVICE_LAYERS)}
    graph = import_graph(REPOSITORY, package)
    upward = [
        f"{module} imports {imported}"
        for module in order
        for imported in graph.get(module, ())
        if order.get(imported, -1) > order[module]
    ]
    assert upward == []
    install = f"{package}.install"
    assert [module for module in graph if install in graph[module] and not module.endswith("__main__")] == []


def test_services_know_nothing_of_each_other() -> None:
    package = "rehearsal.aws.services"
    graph = import_graph(REPOSITORY, package)
    shared = {
        package,
        f"{package}.patching",
        f"{package}.patches",
        f"{package}.install",
        f"{package}.behaviours",
    }
    crossing = [
        f"{module} imports {imported}"
        for module in graph
        for imported in graph[module]
        if not {module, imported} & shared
        and module.split(".")[3] != imported.split(".")[3]
        and not module.endswith("__main__")
    ]
    assert crossing == []


@pytest.mark.parametrize("layer", FOREIGN_WORDS)
def test_a_layer_does_not_mention_what_it_must_not_know(layer: str) -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()}"
        for path in sorted((REPOSITORY / "rehearsal" / layer).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if FOREIGN_WORDS[layer].search(line) and "knows nothing of" not in line
    ]
    assert found == []
