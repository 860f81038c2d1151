"""Import what an image ships: every executor, and of every provider its hooks and auth managers.

``python -m airkiln_airflow.import_check 3.3.2`` ends a bake. A dependency that moved on breaks an import
here, and not the first task of an instance (Celery 5.7 and SQLAlchemy 2.1 did so to Airflow 3.3.2).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version

from airflow.executors.executor_constants import CELERY_EXECUTOR, LOCAL_EXECUTOR
from airflow.executors.executor_loader import ExecutorLoader
from airflow.providers_manager import ProvidersManager


def shipped_names() -> Iterator[str]:
    """Yield the full name of each class or module that must import."""
    yield ExecutorLoader.executors[LOCAL_EXECUTOR]
    yield ExecutorLoader.executors[CELERY_EXECUTOR]
    for name, provider in sorted(ProvidersManager().providers.items()):
        yield name.replace("apache-airflow-providers-", "airflow.providers.").replace("-", ".")
        for connection in provider.data.get("connection-types", []):
            yield connection["hook-class-name"]
        for kind in ("executors", "auth-managers", "db-managers", "secrets-backends", "logging"):
            yield from provider.data.get(kind, [])
        for integration in provider.data.get("bundles", []):
            yield from integration["python-modules"]


def find_faults(expected_version: str) -> Iterator[str]:
    """Yield a sentence for each thing that is wrong with this installation of Airflow.

    :param expected_version: release of Apache Airflow that the image claims, such as ``3.3.2``.
    """
    installed = version("apache-airflow")
    if installed != expected_version:
        yield f"apache-airflow is {installed}, and the image claims {expected_version}: run `make lock`."
    for name in dict.fromkeys(shipped_names()):
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
    faults = list(find_faults(sys.argv[1]))
    for fault in faults:
        sys.stderr.write(fault + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
