"""A call that the loop does not wait for: one at a time, in a thread that ends with it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from airkiln.systemd.journal import WARNING, say

T = TypeVar("T")


class Background(Generic[T]):
    """One kind of call. `failed` is the result of one that raised what it should not."""

    def __init__(self, name: str, failed: T) -> None:
        self._name, self._failed = name, failed
        self._thread: threading.Thread | None = None
        self._result: T | None = None

    def start(self, call: Callable[[], T]) -> None:
        """Make the call. The one before must have been taken."""
        self._result = None
        self._thread = threading.Thread(target=self._run, args=(call,), name=self._name, daemon=True)
        self._thread.start()

    def take(self) -> T | None:
        """The result of a call that has ended, once; None while it runs, and where there is none."""
        if self._thread is None or self._thread.is_alive():
            return None
        self._thread = None
        return self._result

    def _run(self, call: Callable[[], T]) -> None:
        try:
            self._result = call()
        except Exception as error:  # of whatever kind: the loop goes on
            say(f"event=call-failed what={self._name} reason={type(error).__name__}", WARNING)
            self._result = self._failed
