"""The verdict on the tasks of workers that ended: what counts as lost, failed or run twice."""

from __future__ import annotations

import pytest

from rehearsal.drains import LENGTHS, LONGEST, judge, length

FINE = ("run", "step", 0, "success", 1, 1, 1, 1)
CLEARED = {("run", "step", 0): 1}


def test_a_task_that_began_and_ended_once_is_fine() -> None:
    assert judge([FINE], {}) == (1, [])


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (("run", "step", 0, "failed", 1, 1, 1, 0), "failed"),
        (("run", "step", 0, "success", 1, 1, 2, 2), "began 2 times"),
        (("run", "step", 0, "success", 1, 1, 1, 2), "ended 2 times"),
        (("run", "step", 0, "success", 1, 0, 0, 0), "left no mark"),
        (("run", "step", 0, "success", 2, 2, 1, 1), "try 2"),
    ],
)
def test_what_must_not_happen_is_named(row: tuple[object, ...], told: str) -> None:
    _, problems = judge([row], {})
    assert any(told in each for each in problems)


def test_where_it_was_cleared_a_try_that_began_and_never_ended_is_fine() -> None:
    first, second = ("run", "step", 0, "success", 2, 1, 1, 0), ("run", "step", 0, "success", 2, 2, 1, 1)
    assert judge([first, second], CLEARED) == (1, [])


def test_a_try_that_nobody_asked_for_is_named_although_another_task_was_cleared() -> None:
    first, second = ("run", "step", 1, "success", 2, 1, 1, 0), ("run", "step", 1, "success", 2, 2, 1, 1)
    assert judge([first, second], CLEARED) == (1, ["run step[1]: try 2, cleared 0 times"])


def test_two_tries_that_both_ended_ran_twice() -> None:
    first, second = ("run", "step", 0, "success", 2, 1, 1, 1), ("run", "step", 0, "success", 2, 2, 1, 1)
    assert len(judge([first, second], CLEARED)[1]) == 1


def test_the_load_has_tasks_of_one_second_to_five_minutes() -> None:
    assert sum(share for _, _, share in LENGTHS) == pytest.approx(1)
    assert all(1 <= length() <= LONGEST for _ in range(1000))
