"""Waiting with a time limit."""

from __future__ import annotations

import time

import pytest

from rehearsal.errors import RehearsalError
from rehearsal.waiting import ignoring, wait_for, wait_until


def test_the_error_says_for_what_and_where_to_look() -> None:
    with pytest.raises(RehearsalError, match=r"waiting until the sun rises\. Look east\."):
        wait_until("the sun rises", lambda: False, 0, "Look east.")


def test_the_moment_at_which_it_held_is_returned() -> None:
    before = time.monotonic()
    assert before <= wait_until("it is so", lambda: True, 0) <= time.monotonic()


def test_it_asks_again_until_there_is_a_value() -> None:
    answers = iter([None, None, 0])
    assert wait_for("a value is there", lambda: next(answers), 1, every=0) == 0


def test_an_exception_that_is_ignored_means_not_yet_and_another_is_raised() -> None:
    answers = iter([KeyError("away"), None, ValueError("broken")])

    def find() -> str:
        answer = next(answers)
        if answer is None:
            return "found"
        raise answer

    assert wait_for("it is found", ignoring(KeyError, find), 1, every=0) == "found"
    with pytest.raises(ValueError, match="broken"):
        wait_for("it is found", ignoring(KeyError, find), 1, every=0)
