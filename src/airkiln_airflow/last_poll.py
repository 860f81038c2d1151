"""A worker that stops runs the messages of its last poll, so that none waits for its visibility time-out.

Celery's loop ends at once when it is stopped, with a long poll of SQS in progress. No worker has the message
of that poll until its visibility time-out: its task begins a minute late, although other
workers are idle (celery/worker/loops.py, kombu/transport/SQS.py). Here the worker first begins no further
poll, and stops when the last one must have been answered. What that brings runs like any other task.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

ANSWERED = 1.0
"""Seconds within which an answer arrives when the poll's own time is over."""


class LastPoll:
    """Puts off the warm shutdown, by SIGTERM to the worker's main process, until the last poll has ended."""

    def __init__(self) -> None:
        self._consumer: Any = None
        self._stop: Any = None

    def watch(self, consumer: Any) -> None:  # noqa: ANN401 - Celery's consumer has no type
        """Call it in the main thread whenever a consumer has begun to read."""
        self._consumer = consumer
        if self._stop is None:
            self._stop = signal.signal(signal.SIGTERM, self._begin_no_more)

    def _begin_no_more(self, _number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, self._stop)  # a second signal does not wait
        channel: Any = getattr(getattr(self._consumer, "task_consumer", None), "channel", None)
        wait = getattr(channel, "wait_time_seconds", None)
        # The name is kombu's own: what is left here is polled anew. Its consumers take what still comes.
        queues = getattr(channel, "_active_queues", None)
        if wait is None or queues is None:  # no connection, or a broker that is not polled in this way
            _ask_again()
            return
        queues.clear()
        later = threading.Timer(wait + ANSWERED, _ask_again)
        later.daemon = True
        later.start()


def _ask_again() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
