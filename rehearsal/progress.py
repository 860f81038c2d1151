"""Prints the stages of a long command: name, current step, time taken; on failure the end of the stage's log.

On a terminal the current stage is one line that is rewritten. Elsewhere each stage is one plain line when it
begins and one when it ends.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

TAIL = 20
"""Lines of a log shown when a stage fails."""
WIDTH = 48
"""Columns for a stage's number and name; a longer name moves its time out of line."""


class Stages:
    """The stages of one command."""

    def __init__(
        self,
        total: int,
        out: TextIO = sys.stdout,
        *,
        live: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """:param total: how many stages there are.

        :param live: rewrite the line of the current stage; by default if the output is a terminal.
        """
        self._total = total
        self._out = out
        self._live = out.isatty() if live is None else live
        self._clock = clock
        self._began = clock()
        self._number = 0
        self._detail = ""
        self._remark = ""
        self._lock = threading.Lock()

    def earlier(self, name: str, seconds: float) -> None:
        """Print a stage that ended before this command began, and count its seconds too."""
        self._number += 1
        self._began -= seconds
        title = f"[{self._number}/{self._total}] {name}"
        self._write(f"{title:<{WIDTH}} {seconds:6.1f} s\n")

    @contextmanager
    def stage(self, name: str, log: Path | None = None) -> Iterator[None]:
        """One stage. If it raises, the end of its log and the log's path are printed."""
        self._number += 1
        self._detail = self._remark = ""
        title = f"[{self._number}/{self._total}] {name}"
        began = self._clock()
        over = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(title, began, over), daemon=True)
        if self._live:
            ticker.start()
        else:
            self._write(f"{title} …\n")
        try:
            yield
        except KeyboardInterrupt:
            self._end(over, ticker, title, "interrupted after", began)
            raise
        except BaseException:
            self._end(over, ticker, title, "failed after", began)
            self._print_tail(log)
            raise
        self._end(over, ticker, title, "", began)

    def detail(self, text: str) -> None:
        """Show the current step of the stage."""
        self._detail = text
        if not self._live:
            self._write(f"      {text}\n")

    def step(self, text: str) -> None:
        """Show the current step of the stage, unless it is shown already."""
        if text != self._detail:
            self.detail(text)

    def remark(self, text: str) -> None:
        """Show a result of the stage behind its time."""
        self._remark = text

    def note(self, text: str) -> None:
        """Print a line of its own."""
        self._write(text + "\n")

    def elapsed(self) -> float:
        """Seconds since the command began, earlier stages included."""
        return self._clock() - self._began

    def _tick(self, title: str, began: float, over: threading.Event) -> None:
        while not over.wait(0.2):
            line = f"{title:<{WIDTH}} {self._clock() - began:6.1f} s  {self._detail}"
            self._write(f"\r\033[K{line[: self._columns() - 1]}")

    def _end(
        self, over: threading.Event, ticker: threading.Thread, title: str, ending: str, began: float
    ) -> None:
        over.set()
        if self._live:
            ticker.join()
            self._write("\r\033[K")
        took = f"{self._clock() - began:6.1f} s"
        line = f"{title:<{WIDTH}} {ending + ' ' if ending else ''}{took}  {self._remark}"
        self._write(line.rstrip() + "\n")

    def _columns(self) -> int:
        """Width of the terminal now; a longer line would wrap, and only its last row could be rewritten."""
        try:
            return os.get_terminal_size(self._out.fileno()).columns or 80
        except (OSError, ValueError):
            return 80

    def _print_tail(self, log: Path | None) -> None:
        if log is None or not log.exists():
            return
        lines = log.read_text(errors="replace").splitlines()[-TAIL:]
        self._write("".join(f"  | {line}\n" for line in lines) + f"The whole log: {log}\n")

    def _write(self, text: str) -> None:
        with self._lock:
            self._out.write(text)
            self._out.flush()
