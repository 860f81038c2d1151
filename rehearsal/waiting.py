"""Waiting for something to become true, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

from rehearsal.errors import RehearsalError


def wait_until(
    what: str, holds: Callable[[], bool], seconds: float, hint: str = "", *, every: float = 0.1
) -> None:
    """Call ``holds`` until it returns true.

    :param what: the condition in words, as the error names it.
    :param hint: a sentence that says where to look when the time is up.
    :param every: seconds between two calls.
    :raises RehearsalError: it was not true within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise RehearsalError(f"Timed out after {seconds:g} s waiting until {what}. {hint}".rstrip())
        time.sleep(every)
