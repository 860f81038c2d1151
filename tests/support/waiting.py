"""Waiting for something that a test expects to become true."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(
    holds: Callable[[], object], what: Callable[[], object] | str, seconds: float = 60, *, every: float = 0.1
) -> None:
    """Call ``holds`` until it returns something true; AssertionError if it does not within ``seconds``.

    :param what: the condition in words, or a function that says at the end what there is instead.
    :param every: seconds between two calls.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(every)
