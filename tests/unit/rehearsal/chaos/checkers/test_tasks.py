"""The check of the tasks of workers that ended: what counts as lost, failed or run twice."""

from __future__ import annotations

import pytest

from rehearsal.chaos.checkers.tasks import Report, judge, task_instances

STEP = ("run", "step", 0, "success")
CLEARED = {("run", "step", 0): [15.0]}


def test_a_task_that_began_and_ended_once_is_fine() -> None:
    assert judge([(*STEP, 1, 1, 1, 1, 10.0, 20.0)], {}) == Report(1, [], [])


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (("run", "step", 0, "failed", 1, 1, 1, 0, 10.0, 10.0), "failed"),
        ((*STEP, 1, 1, 2, 2, 10.0, 20.0), "began 2 times"),
        ((*STEP, 1, 1, 1, 2, 10.0, 20.0), "ended 2 times"),
        ((*STEP, 1, 0, 0, 0, None, None), "left no mark"),
        ((*STEP, 2, 2, 1, 1, 10.0, 20.0), "try 2"),
    ],
)
def test_what_must_not_happen_is_named(row: tuple[object, ...], problem: str) -> None:
    assert any(problem in each for each in judge([row], {}).problems)


def test_where_it_was_cleared_a_try_that_began_and_never_ended_is_fine() -> None:
    first, second = (*STEP, 2, 1, 1, 0, 10.0, 10.0), (*STEP, 2, 2, 1, 1, 30.0, 40.0)
    assert judge([first, second], CLEARED) == Report(1, [], [])


def test_a_try_that_nobody_asked_for_is_named_although_another_task_was_cleared() -> None:
    other = ("run", "step", 1, "success")
    first, second = (*other, 2, 1, 1, 0, 10.0, 10.0), (*other, 2, 2, 1, 1, 30.0, 40.0)
    assert judge([first, second], CLEARED).problems == ["run step[1]: try 2, cleared 0 times"]


def test_a_try_that_ended_after_it_was_cleared_is_counted_apart() -> None:
    first, second = (*STEP, 2, 1, 1, 1, 10.0, 18.0), (*STEP, 2, 2, 1, 1, 30.0, 40.0)
    assert judge([first, second], CLEARED) == Report(1, [], [], outlived=1)


def test_a_task_that_was_cleared_when_it_had_ended_ran_twice() -> None:
    first, second = (*STEP, 2, 1, 1, 1, 10.0, 14.0), (*STEP, 2, 2, 1, 1, 30.0, 40.0)
    assert len(judge([first, second], CLEARED).problems) == 1


def test_a_task_with_two_problems_is_one_task() -> None:
    run = "manual__2026-11-22T01:51:27+00:00"
    problems = [f"{run} step[0]: failed", f"{run} step[0]: try 1 left no mark", f"{run} step[1]: failed"]
    assert task_instances(problems) == {f"{run} step[0]", f"{run} step[1]"}
