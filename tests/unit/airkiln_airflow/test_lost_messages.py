"""When a queued task instance has lost its message, and how messages are counted in each broker."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from airkiln_airflow import lost_messages
from airkiln_airflow.lost_messages import LOOKS, Counting, Looks, Messages, count, without_message

QUEUE = {"default": {"url": "https://sqs.eu-west-1.amazonaws.com/1/airkiln-x-default"}}


class Connection:
    """Celery's connection to a broker."""

    def __init__(self, driver: str, **channel: object) -> None:
        self.transport = SimpleNamespace(driver_type=driver)
        self.default_channel = SimpleNamespace(**channel)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        return


def application(driver: str, **channel: object) -> Any:  # noqa: ANN401 - Celery has no types
    return SimpleNamespace(connection_for_write=lambda: Connection(driver, **channel))


def in_sqs(attributes: Mapping[str, str]) -> Any:  # noqa: ANN401
    def answer(QueueUrl: str, AttributeNames: list[str]) -> dict[str, object]:  # noqa: N803 - boto3's
        assert QueueUrl == QUEUE["default"]["url"]
        return {"Attributes": {name: attributes[name] for name in AttributeNames}}

    return application(
        "sqs",
        canonical_queue_name=lambda name: name,
        predefined_queues=QUEUE,
        sqs=lambda queue: SimpleNamespace(get_queue_attributes=answer),
    )


@pytest.mark.parametrize(
    ("messages", "running", "lost"),
    [
        (Messages(0, 0), {}, True),
        (Messages(1, 0), {}, False),
        (Messages(0, 1), {}, False),
        (Messages(0, 3), {"default": 3}, True),
        (Messages(0, 4), {"default": 3}, False),
        (Messages(0, 3), {"other": 3}, False),
        (Messages(0, 3, shared=True), {"other": 3}, True),
        (Messages(0, 4, shared=True), {"default": 1, "other": 2}, False),
    ],
    ids=[
        "empty",
        "one waits",
        "one was received",
        "those of what runs",
        "one more than what runs",
        "those of another queue",
        "Redis: those of all queues",
        "Redis: one more than what runs",
    ],
)
def test_a_queue_has_no_message_but_those_of_what_runs(
    messages: Messages, running: Mapping[str, int], lost: bool
) -> None:
    assert without_message({"default": messages}, running) == ({"default"} if lost else set())


def test_what_was_found_at_each_of_the_last_looks_is_lost_and_nothing_sooner() -> None:
    looks = Looks()
    for _ in range(LOOKS - 1):
        assert looks.look(["a", "b"]) == []
    assert looks.look(["a", "c"]) == ["a"]


def test_one_look_that_finds_a_message_begins_anew() -> None:
    looks = Looks()
    for _ in range(10):
        for _ in range(LOOKS - 1):
            assert looks.look(["a"]) == []
        looks.look([])


def test_nothing_queued_for_long_begins_anew() -> None:
    looks = Looks()
    for _ in range(LOOKS - 1):
        looks.look(["a"])
    looks.forget()
    assert looks.look(["a"]) == []


def test_in_sqs_what_is_delayed_waits() -> None:
    counted = count(
        in_sqs(
            {
                "ApproximateNumberOfMessages": "1",
                "ApproximateNumberOfMessagesDelayed": "2",
                "ApproximateNumberOfMessagesNotVisible": "4",
            }
        ),
        ["default"],
    )
    assert counted == {"default": Messages(3, 4)}


def test_a_queue_that_the_parameters_do_not_name_is_not_counted() -> None:
    assert count(in_sqs({}), ["elsewhere"]) == {}


def test_in_redis_what_was_received_is_of_all_queues() -> None:
    client = SimpleNamespace(hlen={"unacked": 7}.__getitem__)
    redis = application(
        "redis", _size={"default": 0, "heavy": 2}.__getitem__, client=client, unacked_key="unacked"
    )
    assert count(redis, ["default", "heavy"]) == {
        "default": Messages(0, 7, shared=True),
        "heavy": Messages(2, 7, shared=True),
    }


def test_another_broker_is_not_counted() -> None:
    assert count(application("amqp"), ["default"]) == {}


def test_a_count_that_fails_finds_nothing_and_says_no_more_than_the_kind() -> None:
    def fail() -> dict[str, Messages]:
        raise ConnectionError("redis://:secret@redis.internal")

    counting = Counting(fail)
    while not counting.over:
        pass
    assert (counting.found, counting.failure) == ({}, "ConnectionError")


def test_a_count_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()

    def hang() -> dict[str, Messages]:
        goes_on.wait()
        return {}

    counting = Counting(hang)
    assert not counting.over
    monkeypatch.setattr(lost_messages, "GIVEN_UP_AFTER", 0.0)
    assert counting.over
    goes_on.set()
