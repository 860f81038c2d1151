"""Which generation of the worker a reload starts."""

from __future__ import annotations

import pytest

from airkiln.lifecycle.model import Stage, Unit
from airkiln.lifecycle.units import next_generation


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ([Unit(1, Stage.RUNNING)], 2),
        ([Unit(7, Stage.RUNNING)], 8),
        ([Unit(3, Stage.STOPPING), Unit(5, Stage.RUNNING)], 6),
        ([Unit(5, Stage.RUNNING), Unit(3, Stage.STOPPING)], 6),
        ([Unit(2, Stage.RUNNING), Unit(9, Stage.ENDED, failed=True)], 10),
    ],
    ids=["the first", "the only one left", "one drains", "listed the other way", "a later one has failed"],
)
def test_the_next_generation_follows_the_highest_number_on_the_host(units: list[Unit], expected: int) -> None:
    assert next_generation(units) == expected


@pytest.mark.parametrize("stages", [(), (Stage.STOPPING,), (Stage.ENDED, Stage.STOPPING)])
def test_there_is_no_next_generation_while_none_takes_tasks(stages: tuple[Stage, ...]) -> None:
    assert next_generation([Unit(number, stage) for number, stage in enumerate(stages, 1)]) is None
