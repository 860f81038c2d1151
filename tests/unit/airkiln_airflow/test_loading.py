"""What is loaded before a host leads is nothing that the garbage collector visits."""

from __future__ import annotations

import gc
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from airkiln_airflow import loading

PARTS = {
    "airflow": (),
    "airflow.providers_manager": ("ProvidersManager",),
    "airflow.plugins_manager": ("ensure_plugins_loaded",),
    "airflow.cli": (),
    "airflow.cli.cli_parser": ("get_parser",),
    "sqlalchemy": (),
    "sqlalchemy.orm": ("configure_mappers",),
}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, bool]]]:
    """What was called, and whether the collector was on; Airflow is modules that do nothing else."""
    calls: list[tuple[str, bool]] = []

    class Part:
        def __init__(self, name: str) -> None:
            self.name = name

        def __call__(self) -> Part:
            calls.append((self.name, gc.isenabled()))
            return self

        def initialize_providers_configuration(self) -> None:
            calls.append(("initialize_providers_configuration", gc.isenabled()))

    for module, names in PARTS.items():
        fake = types.ModuleType(module)
        fake.__path__ = []
        for name in names:
            setattr(fake, name, Part(name))
        monkeypatch.setitem(sys.modules, module, fake)
    yield calls
    gc.unfreeze()
    gc.enable()


def test_what_needs_no_database_is_made_while_the_collector_rests(made: list[tuple[str, bool]]) -> None:
    loading.load([])
    assert made == [
        ("ProvidersManager", False),
        ("initialize_providers_configuration", False),
        ("ensure_plugins_loaded", False),
        ("configure_mappers", False),
        ("get_parser", False),
    ]


def test_the_collector_passes_over_what_is_loaded_and_works_again(made: list[tuple[str, bool]]) -> None:
    before = gc.get_freeze_count()
    loading.load(["json.tool"])
    loading.settle()
    assert gc.get_freeze_count() > before
    assert gc.isenabled()


def test_a_module_that_does_not_import_is_an_error(
    made: list[tuple[str, bool]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "airkiln_broken.py").write_text("raise ImportError('a dependency moved on')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="moved on"):
        loading.load(["airkiln_broken"])
    assert made == []
