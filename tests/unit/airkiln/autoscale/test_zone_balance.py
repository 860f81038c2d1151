"""A scale-in of several workers leaves the zones as equal as the idle workers allow."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airkiln.autoscale.model import Observation, Terminate
from tests.unit.airkiln.autoscale.groups import POOL, demand, group, held, of, worker


def ended(zones: str, *, busy: tuple[int, ...] = (), wanted: int = 0) -> list[int]:
    """The numbers of the workers that one step ends, in its order; worker 1 is in the first zone listed."""
    here = [worker(number, zone=zone) for number, zone in enumerate(zones, 1)]
    needed = demand(POOL.slots * (wanted - len(busy)), **{f"w{number}": POOL.slots for number in busy})
    _, actions = held(Observation(0, 0, needed, group(here)), POOL.cooldown)
    return [
        int(name[2:])
        for action in of(actions, Terminate)
        if isinstance(action, Terminate)
        for name in action.instances
    ]


@pytest.mark.parametrize(
    ("zones", "wanted", "expected"),
    [
        ("abcabc", 3, [6, 5, 4]),
        ("aabbcc", 3, [6, 4, 2]),
        ("aaaabb", 2, [4, 3, 6, 2]),
        ("aaaabc", 3, [4, 3, 2]),
        ("bbbba", 1, [4, 3, 2, 5]),
    ],
)
def test_each_worker_that_ends_is_of_the_zone_that_has_most_at_that_moment(
    zones: str, wanted: int, expected: list[int]
) -> None:
    assert ended(zones, wanted=wanted) == expected


def test_a_busy_worker_counts_for_its_zone_and_stays() -> None:
    assert ended("aaabb", busy=(2, 3), wanted=2) == [1, 5, 4]


@given(
    zones=st.text("abc", min_size=1, max_size=12),
    wanted=st.integers(0, 12),
)
def test_idle_workers_end_so_that_no_zone_that_gave_one_has_more_than_it_must(
    zones: str, wanted: int
) -> None:
    gone = ended(zones, wanted=min(wanted, len(zones)))
    left = Counter(zone for number, zone in enumerate(zones, 1) if number not in gone)
    assert len(zones) - len(gone) == min(wanted, len(zones))
    for zone in {zones[number - 1] for number in gone}:
        assert max(left.values(), default=0) - left[zone] <= 1
