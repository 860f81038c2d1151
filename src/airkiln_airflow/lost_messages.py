"""Which queued task instances have lost their message, such as in a Redis that failed over. Without Airflow.

A queue that holds no message has none for a task instance that is queued there. Both brokers count
approximately and a worker may be about to begin, so it must show several times, for a task instance that has
been queued for long. A wrong answer costs the message its place in an empty queue, never a second run: what
is handed back has a new id (executor.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

QUEUED_FOR = 600.0
"""Seconds for which a task instance has been queued before its message is looked for."""
LOOK_EVERY = 60.0
"""Seconds between two looks. SQS's counts settle within a minute after the last message was sent
(AWS API reference, GetQueueAttributes)."""
LOOKS = 3
"""Looks in a row that found no message."""
GIVEN_UP_AFTER = 600.0
"""Seconds after which a count that hangs is given up: a client of Redis waits without an end."""
_WAITING = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed")
_RECEIVED = "ApproximateNumberOfMessagesNotVisible"


@dataclass(frozen=True)
class Messages:
    """The messages of a queue: those that wait, and those that a worker has received and not acknowledged.

    A running task's message is one of the latter, since Airflow's workers acknowledge late, unless a copy of
    it was received and deleted. `shared` is whether they are of all queues together, as Redis keeps them.
    """

    waiting: int
    received: int
    shared: bool = False


class Looks:
    """What was found without a message, how often in a row."""

    def __init__(self) -> None:
        self._found: dict[object, int] = {}

    def forget(self) -> None:
        """Begin anew."""
        self._found.clear()

    def look(self, queued: Iterable[object]) -> list[object]:
        """Take one look into account.

        :param queued: ids of task instances that are queued for long in queues without a message for them.
        :return: those of them that were found at each of the last `LOOKS` looks.
        """
        self._found = {each: self._found.get(each, 0) + 1 for each in queued}
        return [each for each, looks in self._found.items() if looks >= LOOKS]


def without_message(found: Mapping[str, Messages], running: Mapping[str, int]) -> set[str]:
    """The queues that hold no message but those of running task instances.

    :param running: task instances that run, by queue.
    """
    everywhere = sum(running.values())
    return {
        queue
        for queue, messages in found.items()
        if not messages.waiting
        and messages.received <= (everywhere if messages.shared else running.get(queue, 0))
    }


def count(app: Any, queues: Iterable[str]) -> dict[str, Messages]:  # noqa: ANN401 - Celery has no types
    """Ask the broker for the messages of queues. A queue that cannot be counted is left out.

    Raises whatever the broker's client raises.

    :param app: the Celery application, with whose connection and credentials tasks are sent.
    """
    with app.connection_for_write() as connection:
        counting = {"sqs": _in_sqs, "redis": _in_redis}.get(connection.transport.driver_type)
        channel = connection.default_channel if counting else None
        found = {queue: counting(channel, queue) for queue in queues} if counting else {}
    return {queue: messages for queue, messages in found.items() if messages is not None}


def _in_sqs(channel: Any, queue: str) -> Messages | None:  # noqa: ANN401
    name = channel.canonical_queue_name(queue)
    predefined = channel.predefined_queues.get(name)
    if predefined is None:
        return None
    attributes = channel.sqs(queue=name).get_queue_attributes(
        QueueUrl=predefined["url"], AttributeNames=[*_WAITING, _RECEIVED]
    )["Attributes"]
    return Messages(sum(int(attributes[each]) for each in _WAITING), int(attributes[_RECEIVED]))


def _in_redis(channel: Any, queue: str) -> Messages:  # noqa: ANN401
    # kombu's own count of a queue, which is a list for each priority.
    waiting = int(channel._size(queue))
    return Messages(waiting, int(channel.client.hlen(channel.unacked_key)), shared=True)


class Counting:
    """A count in a thread: a broker that does not answer must not hold up the scheduler's loop."""

    def __init__(self, counting: Callable[[], Mapping[str, Messages]]) -> None:
        self.found: Mapping[str, Messages] = {}
        """What was counted: nothing where it failed."""
        self.failure = ""
        self._counting = counting
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="count messages", daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        """Whether it has ended, or is given up because a connection hangs."""
        return not self._thread.is_alive() or time.monotonic() - self._began >= GIVEN_UP_AFTER

    def _run(self) -> None:
        try:
            self.found = self._counting()
        except Exception as error:  # of any broker's client; its text may hold an address with a password
            self.failure = type(error).__name__
