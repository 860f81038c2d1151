"""What an emulated service reproduces: its package declares it, and ``docs/emulation.md`` is generated.

A package declares ``BEHAVIOURS`` in a module ``behaviours`` of its own. ``make docs`` finds the module.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Behaviour:
    """One behaviour of a service that the emulation reproduces."""

    what: str
    """What happens, in a sentence."""
    source: str
    """URL of the document that describes it."""
    left_out: str = ""
    """What of it the emulation leaves out, in a sentence; empty if nothing is known."""
