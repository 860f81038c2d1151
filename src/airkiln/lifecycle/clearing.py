"""Tasks that cannot end here run elsewhere: they are cleared through Airflow's REST API.

A running task instance that is cleared gets the state `restarting`: its supervisor ends it at its next
heartbeat, and the scheduler queues it again whatever its retries say (clear_task_instances of Airflow 3.3.2,
airflow/models/taskinstance.py). With `only_running` a task instance that has ended meanwhile stays as it is.

The API has no filter by host. Running task instances are read page by page and chosen by their host name,
which is the address of this host (airkiln_airflow.log_address), and by the control group of their process
where another generation of the worker goes on here.
"""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing

from airkiln.errors import AirkilnError
from airkiln.lifecycle.airflow_api import AirflowApi, Login, Task
from airkiln.lifecycle.model import ClearUnfinished
from airkiln.lifecycle.units import generation_of

ELSEWHERE = ("169.254.169.254", 80)
"""As in airkiln_airflow.log_address: nothing is sent there."""


def address() -> str:
    """The name by which Airflow knows this host: the address of the interface of the default route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(ELSEWHERE)
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def clear(
    login: Login,
    wanted: ClearUnfinished,
    queues: tuple[str, ...] = (),
    *,
    here: Callable[[], str] = address,
    generation: Callable[[int], int | None] = generation_of,
) -> list[Task]:
    """Clear what runs under the generations of `wanted`; returns the task instances that were cleared.

    Raises AirkilnError when the API fails; where one DAG run fails, the others are cleared all the same.

    :param queues: of the pool; none: every queue is searched.
    """
    with closing(AirflowApi(login)) as api:
        mine = [task for task in api.running(here(), queues) if _belongs(task, wanted, generation)]
        runs: dict[tuple[str, str], list[Task]] = defaultdict(list)
        for task in mine:
            runs[task.dag, task.run].append(task)
        failure: AirkilnError | None = None
        for (dag, run), tasks in runs.items():
            try:
                api.clear(dag, run, tasks)
            except AirkilnError as error:
                failure = error  # such as a DAG that was deleted
    if failure is not None:
        raise failure
    return mine


def _belongs(task: Task, wanted: ClearUnfinished, generation: Callable[[int], int | None]) -> bool:
    if wanted.whole:
        return True
    return task.pid is not None and generation(task.pid) in wanted.generations
