"""Replaces moto's Elastic Load Balancing with the emulated one."""

from __future__ import annotations

from collections.abc import Callable

from moto.elbv2.models import elbv2_backends

from rehearsal.aws.services.elbv2.backend import EmulatedELB, Server, backend
from rehearsal.aws.services.patching import Substitutions
from rehearsal.aws.timers import Schedule

WATCH = 1.0
"""Seconds between two looks at targets that were never healthy."""
_substitutions = Substitutions()


def install(server: Server, schedule: Schedule, moved: Callable[[], None] = lambda: None) -> None:
    """Serve every later request with the emulated service; install the patches of moto before.

    :param server: listens for the load balancers.
    :param moved: is called after a change of what ``backend.endpoints`` lists.
    """
    _substitutions.attribute(EmulatedELB, "moved", staticmethod(moved))
    _substitutions.attribute(EmulatedELB, "server", server)
    _substitutions.attribute(elbv2_backends, "backend", EmulatedELB)
    schedule.every(WATCH, lambda: backend().watch())


def uninstall() -> None:
    """Restore moto's service. Backends that exist are kept: drop them with ``elbv2_backends.clear()``."""
    _substitutions.restore()
