"""What a worker does with SIGTERM: it begins no further poll, and stops when the last one has ended."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from airkiln_airflow import last_poll
from airkiln_airflow.last_poll import LastPoll

POLL = 0.05
"""Seconds."""


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Whether Celery's own handler was called; the process has its handler back afterwards."""
    monkeypatch.setattr(last_poll, "ANSWERED", 0.0)
    event = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: event.set())
    try:
        yield event
    finally:
        signal.signal(signal.SIGTERM, before)


def consumer(**channel: object) -> Any:  # noqa: ANN401 - Celery's consumer has no type
    return SimpleNamespace(task_consumer=SimpleNamespace(channel=SimpleNamespace(**channel)))


def polling(queues: list[str], wait: float) -> Any:  # noqa: ANN401
    return consumer(wait_time_seconds=wait, _active_queues=queues)


def terminate() -> None:
    signal.raise_signal(signal.SIGTERM)


def test_a_worker_that_is_told_to_stop_begins_no_further_poll_and_stops_after_the_last(
    stopped: threading.Event,
) -> None:
    queues = ["default"]
    LastPoll().watch(polling(queues, POLL))
    terminate()
    assert queues == []
    assert not stopped.is_set()
    assert stopped.wait(5)


def test_a_worker_that_is_told_twice_stops_at_once(stopped: threading.Event) -> None:
    LastPoll().watch(polling(["default"], 3600))
    terminate()
    terminate()
    assert stopped.is_set()


@pytest.mark.parametrize(
    "reader",
    [consumer, lambda: SimpleNamespace(task_consumer=None), lambda: consumer(wait_time_seconds=POLL)],
    ids=["Redis", "no connection", "another way of polling"],
)
def test_a_worker_without_a_poll_that_can_be_ended_stops_at_once(
    stopped: threading.Event, reader: Callable[[], object]
) -> None:
    LastPoll().watch(reader())
    terminate()
    assert stopped.wait(5)


def test_after_a_lost_connection_it_is_the_new_one_that_is_polled_no_more(stopped: threading.Event) -> None:
    old, new = ["default"], ["default"]
    poll = LastPoll()
    poll.watch(polling(old, POLL))
    poll.watch(polling(new, POLL))
    terminate()
    assert (old, new) == (["default"], [])
    assert stopped.wait(5)
