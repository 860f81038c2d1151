"""Replaces moto's EFS with the emulated one."""

from __future__ import annotations

from moto.efs.models import efs_backends

from rehearsal.aws.services.efs.backend import EmulatedEFS
from rehearsal.aws.services.patching import Substitutions
from rehearsal.region import Region

_substitutions = Substitutions()


def install(region: Region) -> None:
    """Serve every later request with the emulated EFS; install the patches of moto before."""
    _substitutions.attribute(EmulatedEFS, "region", region)
    _substitutions.attribute(efs_backends, "backend", EmulatedEFS)


def uninstall() -> None:
    """Restore moto's EFS. Backends that exist are kept: drop them with ``efs_backends.clear()``."""
    _substitutions.restore()
