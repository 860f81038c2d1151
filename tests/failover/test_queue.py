"""What a queue does to tasks: each runs once, whatever the broker hands out again or to whom."""

from __future__ import annotations

import pytest

from rehearsal.chaos.observer import Observer
from rehearsal.chaos.scenarios import redelivery

pytestmark = pytest.mark.root


def test_a_message_that_is_handed_out_again_neither_runs_nor_ends_a_task(observer: Observer) -> None:
    assert redelivery.copied(observer) == []


def test_a_copy_whose_token_has_expired_does_not_end_the_task(observer: Observer) -> None:
    assert redelivery.copied_when_expired(observer) == []


def test_a_worker_that_is_killed_while_it_polls_strands_no_task(observer: Observer) -> None:
    problems, _ = redelivery.killed_while_polling(observer)
    assert problems == []


def test_a_worker_that_has_stopped_takes_no_message_with_it(observer: Observer) -> None:
    problems, _ = redelivery.stopped_while_polling(observer)
    assert problems == []
