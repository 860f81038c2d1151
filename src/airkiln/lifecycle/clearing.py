"""Tasks that cannot end here run elsewhere: they are cleared through Airflow's REST API.

A running task instance that is cleared gets the state `restarting`: its supervisor ends it at its next
heartbeat, and the scheduler queues it again whatever its retries say (clear_task_instances of Airflow 3.3.2,
airflow/models/taskinstance.py). With `only_running` a task instance that has ended meanwhile stays as it is.

The workers of this host say what they run (running.py). Each of these task instances is cleared if Airflow,
too, knows it as running here: tasks write these files, and one must not clear the tasks of other hosts.
"""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing

from airkiln.errors import AirkilnError
from airkiln.lifecycle import running
from airkiln.lifecycle.airflow_api import AirflowApi, Login, Task
from airkiln.lifecycle.model import ClearUnfinished

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
    *,
    here: Callable[[], str] = address,
    candidates: Callable[[tuple[int, ...] | None], list[Task]] = running.tasks,
) -> list[Task]:
    """Clear what runs under the generations of `wanted`; returns the task instances that were cleared.

    Each DAG run is cleared as soon as its task instances have been found.
    Raises AirkilnError when the API fails; where one DAG run fails, the others are cleared all the same.
    """
    runs: dict[tuple[str, str], list[Task]] = defaultdict(list)
    for task in candidates(None if wanted.whole else wanted.generations):
        runs[task.dag, task.run].append(task)
    cleared: list[Task] = []
    failure: AirkilnError | None = None
    with closing(AirflowApi(login)) as api:
        host = here()
        for (dag, run), tasks in runs.items():
            try:
                mine = [task for task in tasks if api.runs_on(task, host)]
                if mine:
                    api.clear(dag, run, mine)
            except AirkilnError as error:
                failure = error  # such as a DAG that was deleted
            else:
                cleared += mine
    if failure is not None:
        raise failure
    return cleared
