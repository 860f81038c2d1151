"""Waiting for something to become true, or for a value to be there, with a time limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from rehearsal.errors import RehearsalError

Found = TypeVar("Found")


def wait_until(
    what: str,
    holds: Callable[[], bool | None],
    seconds: float,
    hint: str = "",
    *,
    every: float = 0.1,
) -> float:
    """Call ``holds`` until it returns true.

    :param what: the condition in words, as the error names it.
    :param hint: a sentence that says where to look when the time is up.
    :param every: seconds between two calls.
    :returns: when it held, in seconds on CLOCK_MONOTONIC.
    :raises RehearsalError: it was not true within ``seconds``.
    """

    def moment() -> float | None:
        return time.monotonic() if holds() else None

    return wait_for(what, moment, seconds, hint, every=every)


def wait_for(
    what: str,
    find: Callable[[], Found | None],
    seconds: float,
    hint: str = "",
    *,
    every: float = 0.1,
) -> Found:
    """Call ``find`` until it returns something else than None, and return that.

    :param what: the condition in words, as the error names it ("the DAG is parsed").
    :param hint: a sentence that says where to look when the time is up.
    :param every: seconds between two calls.
    :raises RehearsalError: it returned None for ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while True:
        if (found := find()) is not None:
            return found
        if time.monotonic() > deadline:
            raise RehearsalError(f"Timed out after {seconds:g} s waiting until {what}. {hint}".rstrip())
        time.sleep(every)


def ignoring(exception: type[Exception], find: Callable[[], Found]) -> Callable[[], Found | None]:
    """The same function, for the two above, with None ("not yet") in place of an exception."""

    def attempt() -> Found | None:
        try:
            return find()
        except exception:
            return None

    return attempt
