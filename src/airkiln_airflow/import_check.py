"""Import what an image ships: every executor, and of every provider its hooks and auth managers.

``python -m airkiln_airflow.import_check 3.3.2`` comes before an environment is put in force. A dependency
that moved on breaks an import here, and not the first task of an instance (Celery 5.7 and SQLAlchemy 2.1 did
so to Airflow 3.3.2).
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from pkgutil import resolve_name
from tempfile import TemporaryDirectory
from typing import Any

from airkiln_airflow import dag_processor
from airkiln_airflow.warm import SCHEDULER_USES

_KINDS = ("executors", "auth-managers", "db-managers", "secrets-backends", "logging")
"""Parts of a provider's description that are lists of full names."""


def provider_names(descriptions: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the full name of each module or class that the providers ship.

    :param descriptions: what each package says of itself (its ``get_provider_info``), by the package's name.
    """
    for name, description in sorted(descriptions.items()):
        yield name.replace("apache-airflow-providers-", "airflow.providers.").replace("-", ".")
        for connection in description.get("connection-types", []):
            yield connection["hook-class-name"]
        for kind in _KINDS:
            yield from description.get(kind, [])
        for integration in description.get("bundles", []):
            yield from integration["python-modules"]


def shipped_names() -> Iterator[str]:
    """Yield the full name of each class or module of this environment that must import."""
    constants = import_module("airflow.executors.executor_constants")
    executors = resolve_name("airflow.executors.executor_loader:ExecutorLoader").executors
    yield executors[constants.LOCAL_EXECUTOR]
    yield executors[constants.CELERY_EXECUTOR]
    yield "airkiln_airflow.executor.AirkilnCeleryExecutor"
    yield from SCHEDULER_USES
    yield from dag_processor.USES
    providers = resolve_name("airflow.providers_manager:ProvidersManager")().providers
    yield from provider_names({name: provider.data for name, provider in providers.items()})


def find_faults(installed: str, expected: str, names: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each thing that is wrong with an installation of Airflow.

    :param installed: its release, such as ``3.3.2``.
    :param expected: the release that the image claims.
    :param names: full names of modules and classes that must import.
    """
    if installed != expected:
        yield f"apache-airflow is {installed}, and the image claims {expected}: run `make lock`."
    for name in dict.fromkeys(names):
        try:
            _import(name)
        except Exception as error:  # whatever an import raises, the image is not fit to ship
            yield f"{name} does not import: {type(error).__name__}: {error}"


def _import(name: str) -> None:
    try:
        import_module(name)
    except ModuleNotFoundError as error:
        module, _, attribute = name.rpartition(".")
        if error.name != name or not module:
            raise
        getattr(import_module(module), attribute)


def main() -> int:
    """Print the faults and return 1 if there is one."""
    warnings.simplefilter("ignore")
    with TemporaryDirectory() as home:
        # Airflow writes a configuration where there is none, with keys of its own.
        Path(home, "airflow.cfg").touch()
        os.environ |= {"AIRFLOW_HOME": home, "AIRFLOW_CONFIG": f"{home}/airflow.cfg"}
        faults = list(find_faults(version("apache-airflow"), sys.argv[1], shipped_names()))
    for fault in faults:
        sys.stderr.write(fault + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
