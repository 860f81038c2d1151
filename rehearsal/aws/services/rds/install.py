"""Replaces moto's RDS with the emulated one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from moto.rds.models import rds_backends

from rehearsal.aws.services.patching import Substitutions
from rehearsal.aws.services.rds.backend import EmulatedRDS
from rehearsal.aws.services.rds.models import Server

_substitutions = Substitutions()


def install(server: Server, folder: Path, changed: Callable[[], None] = lambda: None) -> None:
    """Serve every later request with the emulated RDS; install the patches of moto before.

    :param server: the one database server.
    :param folder: where the data of snapshots are.
    :param changed: is called after a change of what ``backend.endpoints`` lists.
    """
    _substitutions.attribute(EmulatedRDS, "changed", staticmethod(changed))
    _substitutions.attribute(EmulatedRDS, "server", server)
    _substitutions.attribute(EmulatedRDS, "folder", folder)
    _substitutions.attribute(rds_backends, "backend", EmulatedRDS)


def uninstall() -> None:
    """Restore moto's RDS. Backends that exist are kept: drop them with ``rds_backends.clear()``."""
    _substitutions.restore()
