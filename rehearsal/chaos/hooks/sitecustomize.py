"""Two signals after which a scheduler's main thread no longer loops. Python runs handlers in that thread.

Python imports this module when it starts. The scheduler hosts of an instrumented cluster have a copy
(rehearsal.chaos.instrumentation), and `rehearsal.chaos.faults.threads` sends the signals.
"""

from __future__ import annotations

import signal
import threading
from typing import NoReturn


def compute() -> NoReturn:
    """Use the processor without end."""
    while True:
        pass


def hang(_signal: int, _frame: object) -> None:
    """Wait without end, and compute in another thread."""
    threading.Thread(target=compute, daemon=True).start()
    threading.Event().wait()


def loop(_signal: int, _frame: object) -> NoReturn:
    """Compute without end."""
    compute()


signal.signal(signal.SIGRTMIN, hang)
signal.signal(signal.SIGRTMIN + 1, loop)
