"""Faults of the queue in SQS, and what can be read of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rehearsal.aws.client import Client, client
from rehearsal.deployment.parameters import VISIBILITY
from rehearsal.deployment.seed import queue_name

RECEIVED = ("ApproximateNumberOfMessagesNotVisible",)
"""Messages that a worker received and did not delete."""
ALL = ("ApproximateNumberOfMessages", *RECEIVED)
"""Messages that were sent and not deleted."""


def messages(counts: tuple[str, ...] = ALL) -> int:
    """Number of messages in the environment's queue."""
    sqs, url = _queue()
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(counts))["Attributes"]
    return sum(int(found[name]) for name in counts)


@contextmanager
def redelivered_after(seconds: int) -> Iterator[None]:
    """A message that nobody deleted is delivered again after so many seconds (the visibility timeout)."""
    sqs, url = _queue()
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": str(seconds)})
    try:
        yield
    finally:
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": str(VISIBILITY)})


def _queue() -> tuple[Client, str]:
    sqs = client("sqs")
    return sqs, str(sqs.get_queue_url(QueueName=queue_name())["QueueUrl"])
