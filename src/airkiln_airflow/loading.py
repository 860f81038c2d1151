"""Load a component of Airflow before its host leads: imports, and what is made without a database.

Loading takes two to three seconds of a processor, and everything here opens no connection.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable
from importlib import import_module
from pkgutil import resolve_name


def load(names: Iterable[str]) -> None:
    """Import these modules, the providers' configuration, the plugins, the mappers, the parser of commands.

    :raises Exception: whatever an import raises.
    """
    for name in names:
        import_module(name)
    resolve_name("airflow.providers_manager:ProvidersManager")().initialize_providers_configuration()
    resolve_name("airflow.plugins_manager:ensure_plugins_loaded")()
    resolve_name("sqlalchemy.orm:configure_mappers")()
    resolve_name("airflow.cli.cli_parser:get_parser")()  # the command is given the same one


def settle() -> None:
    """Keep what is loaded: the collector need not visit it again, and forks share its pages."""
    gc.collect()
    gc.freeze()
