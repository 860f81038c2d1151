"""Waiting for something that a test expects to become true."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

PATIENCE: Final = 300.0
"""Seconds after which a test gives up. It is a limit, never what is measured: a busy machine may take a
minute for what takes a second, and a wait that succeeds costs nothing of it."""


def until(
    holds: Callable[[], object],
    what: Callable[[], object] | str,
    seconds: float = PATIENCE,
    *,
    every: float = 0.1,
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
