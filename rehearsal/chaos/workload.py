"""Generates load: task instances of known length that are under way while faults are injected."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from random import Random

import psycopg

from rehearsal.chaos.instrumentation import WORKLOAD
from rehearsal.chaos.observer import Observer
from rehearsal.errors import RehearsalError

LONGEST = 300.0
"""Seconds of the longest task."""
LENGTHS = ((1.0, 5.0, 0.55), (5.0, 20.0, 0.35), (20.0, 60.0, 0.08), (60.0, LONGEST, 0.02))
"""How long tasks take: from, to (seconds), and the share of such tasks."""


def length(random: Random) -> float:
    """Draw the seconds of one task."""
    shortest, longest, _ = random.choices(LENGTHS, [share for _, _, share in LENGTHS])[0]
    return round(random.uniform(shortest, longest), 1)


def start(observer: Observer, *, tasks: int = 1, seconds: float = 4) -> str:
    """Start one run whose parallel tasks each take so many seconds; returns its id."""
    return observer.start(WORKLOAD, tasks=tasks, seconds=seconds)


@contextmanager
def sustained(observer: Observer, *, tasks: int, draw: Callable[[], float]) -> Iterator[None]:
    """Keep about so many task instances under way until the block ends. They are not waited for.

    :param draw: returns the seconds of the next task.
    """
    over = threading.Event()

    def keep_going() -> None:
        watching = Observer(observer.cluster)
        while not over.wait(0.5):
            with suppress(RehearsalError, psycopg.Error):
                missing = tasks - watching.under_way(WORKLOAD)
                if missing >= 2:
                    observer.start(WORKLOAD, seconds=[draw() for _ in range(missing)])
        watching.close()

    thread = threading.Thread(target=keep_going, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)
