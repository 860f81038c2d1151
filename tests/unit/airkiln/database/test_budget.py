"""The connection limits of a server's roles, for every server that may come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airkiln.database.budget import KEPT, LEAST, SCHEDULER_LEAST, SCHEDULER_MOST, share
from airkiln.errors import RefusedError

SMALLEST = KEPT + 2 * SCHEDULER_LEAST + LEAST


@given(slots=st.integers(SMALLEST, 5000), reserved=st.integers(0, 20))
def test_the_limits_never_reach_the_slots_that_are_kept(slots: int, reserved: int) -> None:
    found = share(slots + reserved, reserved)
    assert 2 * found.scheduler + found.airflow + found.worker + KEPT == slots
    assert SCHEDULER_LEAST <= found.scheduler <= SCHEDULER_MOST
    assert found.airflow >= found.worker >= LEAST // 2


def test_a_server_that_is_too_small_is_refused_with_what_it_needs() -> None:
    with pytest.raises(RefusedError, match=f"max_connections = 80, 10 of them.*needs {SMALLEST}"):
        share(80, 10)


@pytest.mark.parametrize(
    ("max_connections", "reserved", "scheduler", "airflow", "worker"),
    [
        (100, 3, 15, 22, 21),  # PostgreSQL's own default
        (200, 5, 25, 61, 60),  # the rehearsal's
        (838, 9, 40, 363, 362),  # db.m7g.large
    ],
)
def test_budgets_of_servers_that_there_are(
    max_connections: int, reserved: int, scheduler: int, airflow: int, worker: int
) -> None:
    found = share(max_connections, reserved)
    assert (found.scheduler, found.airflow, found.worker) == (scheduler, airflow, worker)
