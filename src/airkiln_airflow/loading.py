"""Load a component of Airflow before its host leads: imports, and what is made without a database.

Loading takes one and a half to two seconds of a processor. Nothing here opens a connection.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable
from importlib import import_module
from pkgutil import resolve_name


def load(names: Iterable[str]) -> None:
    """Import these modules, the providers' configuration, the plugins, the mappers, the parser of commands.

    The garbage collector rests until `settle`: it would look through all that is loaded again and again, for
    a fifth of the time, and 2 % of the objects are garbage.

    :raises Exception: whatever an import raises.
    """
    gc.disable()
    for name in names:
        import_module(name)
    resolve_name("airflow.providers_manager:ProvidersManager")().initialize_providers_configuration()
    resolve_name("airflow.plugins_manager:ensure_plugins_loaded")()
    resolve_name("sqlalchemy.orm:configure_mappers")()
    resolve_name("airflow.cli.cli_parser:get_parser")()  # the command is given the same one


def settle() -> None:
    """Keep what is loaded: the collector never visits it, and forks share its pages."""
    gc.freeze()
    gc.enable()
