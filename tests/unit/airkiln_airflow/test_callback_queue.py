"""A callback goes to a queue that exists."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airkiln_airflow.callback_queue import callback_queue


@pytest.mark.parametrize("data", [{}, {"path": "a.b", "kwargs": {}}, None])
def test_a_callback_that_names_no_queue_goes_to_the_default_queue(data: Any) -> None:  # noqa: ANN401
    workload = SimpleNamespace(callback=SimpleNamespace(data=data))
    assert callback_queue(workload, "default", "batch") == "batch"


def test_a_callback_that_names_a_queue_goes_there() -> None:
    workload = SimpleNamespace(callback=SimpleNamespace(data={"queue": "heavy"}))
    assert callback_queue(workload, "heavy", "batch") == "heavy"


def test_a_task_goes_where_it_was_sent() -> None:
    assert callback_queue(SimpleNamespace(ti=object()), "default", "batch") == "default"
