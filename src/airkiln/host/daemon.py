"""What the daemons have in common: the end by a signal, notifications to systemd, a delay after a failed
start."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from airkiln.errors import AirkilnError
from airkiln.systemd import notify
from airkiln.systemd.journal import say

FAILED_START = 10.0
"""Seconds that a start which fails lasts at least: systemd tries again, and the journal stays readable."""


@contextmanager
def starting() -> Iterator[None]:
    """Run a daemon: collect garbage, and under systemd delay the end of one that raises AirkilnError.

    The `airkiln` command itself runs with the collector off, because the boot path waits for it.
    """
    gc.enable()
    began = time.monotonic()
    try:
        yield
    except AirkilnError:
        if "NOTIFY_SOCKET" in os.environ:
            time.sleep(max(0.0, FAILED_START - (time.monotonic() - began)))
        raise


class Stop:
    """SIGTERM or SIGINT to this process. Make it in the main thread, before the loop."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def install(self) -> None:
        """Handle the signals from now on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self._event.is_set()

    def wait(self, seconds: float) -> None:
        """Return after `seconds`, or as soon as a signal comes."""
        self._event.wait(max(0.0, seconds))

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if not self._event.is_set():
            say(f"event=stopping reason={signal.Signals(number).name}")
        self._event.set()


class Status:
    """The line of `systemctl status`, sent when it changes."""

    def __init__(self) -> None:
        self._shown = ""

    def show(self, text: str) -> bool:
        """Show `text`; whether it is new."""
        if text == self._shown:
            return False
        self._shown = text
        notify.status(text)
        return True


def run_every(
    seconds: float, turn: Callable[[], None], stop: Stop, clock: Callable[[], float] = time.monotonic
) -> None:
    """Call `turn` every `seconds`, counted from its start, until `stop`; tell systemd after each turn.

    Raises what `turn` raises.
    """
    stop.install()
    notify.send("READY=1")
    while not stop.requested:
        began = clock()
        turn()
        notify.send("WATCHDOG=1")
        stop.wait(seconds - (clock() - began))
    notify.send("STOPPING=1")
