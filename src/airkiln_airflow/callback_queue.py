"""The queue of a callback. Pure, and without Airflow."""

from __future__ import annotations

from typing import Any


def callback_queue(workload: Any, queue: str, default: str) -> str:  # noqa: ANN401 - Airflow's workloads
    """The queue of a workload: `default` for a callback whose data names none, otherwise `queue`.

    :param workload: a workload of Airflow's executors; a callback's has the attribute `callback`.
    :param queue: what Airflow chose.
    :param default: `[operators] default_queue`.
    """
    callback = getattr(workload, "callback", None)
    if callback is None:
        return queue
    data = callback.data
    return queue if isinstance(data, dict) and "queue" in data else default
