"""Ansible's plug-ins lie beside the playbooks, where no import finds them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"


def plugin(path: str) -> ModuleType:
    name = f"playbooks_{Path(path).stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, PLAYBOOKS / path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def planning() -> ModuleType:
    return plugin("filter_plugins/airkiln_plan.py")


@pytest.fixture(scope="session")
def templates() -> ModuleType:
    return plugin("filter_plugins/airkiln_template.py")


@pytest.fixture(scope="session")
def stacks() -> ModuleType:
    return plugin("filter_plugins/airkiln_stacks.py")


@pytest.fixture(scope="session")
def store() -> ModuleType:
    return plugin("library/airkiln_parameter_store.py")


@pytest.fixture(scope="session")
def console() -> ModuleType:
    return plugin("library/airkiln_console_info.py")
