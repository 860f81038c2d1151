"""The lengths of the workload's tasks."""

from __future__ import annotations

from random import Random

import pytest

from rehearsal.chaos.workload import LENGTHS, LONGEST, length


def test_tasks_take_one_second_to_five_minutes() -> None:
    random = Random(1)
    assert sum(share for _, _, share in LENGTHS) == pytest.approx(1)
    assert all(1 <= length(random) <= LONGEST for _ in range(1000))


def test_the_same_seed_draws_the_same_lengths() -> None:
    one, other = Random(7), Random(7)
    assert [length(one) for _ in range(20)] == [length(other) for _ in range(20)]
