"""The one exception that a user of the rehearsal sees."""

from __future__ import annotations


class RehearsalError(Exception):
    """The rehearsal could not do something; the text says what happened, to what, and what to do next."""
